import { setTimeout as sleep } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { createStatements, openDatabase } from '@bullpen/db';
import { createLog, errorFacts } from '@bullpen/runtime';
import type { ItemError } from '../outputs.ts';
import { TimeoutError } from '../timeouts.ts';
import { blame } from './blame.ts';
import { cells, exits, none, viewsOf } from './marks.ts';
import { createStalls } from './stalls.ts';
import type { WatchdogData } from './watchdog.ts';

/**
 * The watchdog: a thread of the worker's process with a loop and a connection of its own, for when the main loop cannot
 * answer. It looks every 100 ms.
 *
 * - A handler is in one synchronous call for long: the thread says for the worker that it is there, until `timeoutMs`.
 * - Longer than that: the item has used an attempt (`timeout`), all else in hand goes back, the process is killed.
 * - The process exits in such a call: the same with the code `worker-lost`.
 * - It exits outside of one, or its loop stands still there: all in hand counts a crash.
 */
const { shared, worker, name, logLevel, databaseUrl, leaseMs } = workerData as WatchdogData;
const { chunk, words } = viewsOf(shared);
const tickMs = 100;
/** A process that does not work is ended also when the database does not answer. */
const lastActMs = 4000;

const log = createLog({ name, level: logLevel, pretty: false });
const database = openDatabase({ url: databaseUrl, max: 1, name: `bullpen worker ${name} watchdog`, durable: false });
const statements = createStatements(database.db, { reconnectMs: lastActMs });
const judge = createStalls({ tickMs, leaseMs });

const exitedError: ItemError = { code: 'worker-lost', message: 'the handler ended the process of its worker' };

/** Takes all chunks from this worker, and the item that is to blame out of its own. */
async function giveUp(guilty: ItemError | null, crashed: boolean): Promise<void> {
  const item = words[cells.item]!;
  if (guilty !== null && item !== none) {
    const holding = await statements.holding({ worker, no: chunk[0]! });
    if (holding !== null) await statements.flush([blame(holding, item, guilty)]);
  }
  await statements.abandon({ worker, crashed });
  await statements.retire(worker);
  await statements.leave(worker);
}

async function lastAct(guilty: ItemError | null, crashed: boolean, why: string): Promise<void> {
  const facts = { item: words[cells.item], chunk: chunk[0] };
  const late = sleep(lastActMs).then(() => log.error(facts, 'the database does not answer; others will repair'));
  await Promise.race([giveUp(guilty, crashed), late]).catch((error) => log.error({ ...facts, ...errorFacts(error) }, why));
  log.error({ ...facts, code: guilty?.code }, why);
}

async function kill(guilty: ItemError | null, crashed: boolean, why: string): Promise<void> {
  await lastAct(guilty, crashed, why);
  process.kill(process.pid, 'SIGKILL');
}

async function look(): Promise<void> {
  const exit = Atomics.load(words, cells.exit);
  if (exit === exits.asked || exit === exits.blameless) {
    const inCall = words[cells.item] !== none;
    const why = 'the process ends: its chunks go back';
    await lastAct(inCall ? exitedError : null, !inCall && exit === exits.asked, why);
    Atomics.store(words, cells.exit, exits.released);
    Atomics.notify(words, cells.exit);
    return;
  }
  const seen = { call: words[cells.call]!, item: words[cells.item]!, timeoutMs: words[cells.timeoutMs]!, turns: words[cells.turns]! };
  const finding = judge(seen);
  if (finding === 'stay') void statements.stay({ worker, leaseMs }).catch(() => undefined);
  else if (finding === 'blame') await kill(describe(seen.timeoutMs), false, 'a handler does not end: its process does');
  else if (finding === 'stuck') await kill(null, true, 'the main loop stands still: the process ends');
}

function describe(timeoutMs: number): ItemError {
  const { code, message } = new TimeoutError(timeoutMs);
  return { code, message };
}

for (;;) {
  await sleep(tickMs);
  await look();
}
