import { setTimeout as sleep } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import type { LastActs } from './last-acts.ts';
import { cells, exits, viewsOf } from './marks.ts';
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
const data = workerData as WatchdogData;
const { chunk, item, words } = viewsOf(data.shared);
const tickMs = 100;
/** What talks to the database takes 150 ms of cpu to load: not while the worker starts, unless it is needed. */
const loadAfterMs = 3000;

const judge = createStalls({ tickMs, leaseMs: data.leaseMs });
let loading: Promise<LastActs> | null = null;
const acts = (): Promise<LastActs> =>
  (loading ??= import('./last-acts.ts').then(({ openLastActs }) => openLastActs(data)));

/** Where the main thread stands; it does not move any more. */
const place = (): { item: number; chunk: number } => ({ item: item[0]!, chunk: chunk[0]! });

async function kill(act: (acts: LastActs) => Promise<void>): Promise<void> {
  await act(await acts());
  process.kill(process.pid, 'SIGKILL');
}

/** The main thread waits for this in its `exit` event. */
async function sayLastWord(blameless: boolean): Promise<void> {
  const { exited } = await acts();
  await exited(place(), blameless);
  Atomics.store(words, cells.exit, exits.released);
  Atomics.notify(words, cells.exit);
}

/** When the main loop last turned, and the CPU time of the process then: a loop that spins uses it up, a starved one does not. */
let turned = { turns: -1, at: 0, cpu: process.cpuUsage() };
function stood(): { standsMs: number; cpuMs: number } {
  const { user, system } = process.cpuUsage(turned.cpu);
  return { standsMs: Math.round(performance.now() - turned.at), cpuMs: Math.round((user + system) / 1000) };
}

async function look(): Promise<void> {
  const turns = words[cells.turns]!;
  if (turns !== turned.turns) turned = { turns, at: performance.now(), cpu: process.cpuUsage() };
  const exit = Atomics.load(words, cells.exit);
  if (exit === exits.asked || exit === exits.blameless) return sayLastWord(exit === exits.blameless);
  const timeoutMs = words[cells.timeoutMs]!;
  const finding = judge({ call: words[cells.call]!, item: item[0]!, timeoutMs, turns });
  if (finding === 'stay') void acts().then(({ stay }) => stay());
  else if (finding === 'blame') await kill(({ timedOut }) => timedOut(place(), timeoutMs));
  else if (finding === 'stuck') await kill(({ stuck }) => stuck(stood()));
}

const startedAt = performance.now();
for (;;) {
  await sleep(tickMs);
  await look();
  if (performance.now() - startedAt > loadAfterMs) await acts();
}
