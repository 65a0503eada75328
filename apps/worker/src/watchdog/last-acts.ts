import { setTimeout as sleep } from 'node:timers/promises';
import { createStatements, openDatabase } from '@bullpen/db';
import { createLog, errorFacts } from '@bullpen/runtime';
import type { ItemError } from '../outputs.ts';
import { TimeoutError } from '../timeouts.ts';
import { blame } from './blame.ts';
import { none, start, together } from './marks.ts';
import type { WatchdogData } from './watchdog.ts';

/** A process that does not work ends, also when the database does not answer; then others repair. */
const patienceMs = 4000;

const exitedError: ItemError = { code: 'worker-lost', message: 'the handler ended the process of its worker' };

/** Item (or what marks.ts says in its place) and chunk that the main thread was in. */
interface Place {
  item: number;
  chunk: number;
}

/** What the watchdog does in the worker's name. Each of its statements may be repeated, and may be the last one. */
export function openLastActs({ worker, name, logLevel, databaseUrl, leaseMs }: WatchdogData) {
  const log = createLog({ name, level: logLevel, pretty: false });
  const database = openDatabase({ url: databaseUrl, max: 1, name: `bullpen worker ${name} watchdog`, durable: false });
  const statements = createStatements(database.db, { reconnectMs: patienceMs });
  log.debug('the watchdog can act');

  /** Takes the guilty item out of its chunk, then all chunks and partitions from this worker. */
  async function giveUp(guilty: (Place & { error: ItemError }) | null, crashed: boolean): Promise<void> {
    if (guilty !== null) {
      const holding = await statements.holding({ worker, no: guilty.chunk });
      if (holding !== null && holding.line !== null) await charge(guilty);
      else if (holding !== null) await statements.flush([blame(holding, guilty.item, guilty.error)]);
    }
    await statements.abandon({ worker, crashed });
    await statements.retire(worker);
    await statements.leave(worker);
  }

  /** In a line nothing is settled out of order. Of a call for many items nobody knows whose it was; one for the batch was for all. */
  async function charge({ chunk: no, item, error }: Place & { error: ItemError }): Promise<void> {
    if (item === together) await statements.suspect({ worker, no });
    else await statements.charge({ worker, no, index: item === start ? null : item, error });
  }

  async function lastAct(
    why: string,
    guilty: (Place & { error: ItemError }) | null,
    crashed: boolean,
    facts: object = guilty ?? {},
  ): Promise<void> {
    log.error(facts, why);
    const late = sleep(patienceMs).then(() => {
      throw new Error(`the database did not answer within ${patienceMs} ms`);
    });
    await Promise.race([giveUp(guilty, crashed), late]).catch((error: unknown) =>
      log.error(errorFacts(error), 'the chunks in hand could not be given back: others will repair them'),
    );
  }

  return {
    /** The worker is there, though its main loop cannot say so. */
    stay: (): Promise<void> => statements.stay({ worker, leaseMs }).catch(() => undefined),
    timedOut: (place: Place, timeoutMs: number): Promise<void> => {
      const { code, message } = new TimeoutError(timeoutMs);
      return lastAct('a handler does not end: its process does', { ...place, error: { code, message } }, false);
    },
    stuck: (facts: { standsMs: number; cpuMs: number }): Promise<void> =>
      lastAct('the main loop stands still: the process ends', null, true, facts),
    exited: (place: Place, blameless: boolean): Promise<void> => {
      const guilty = place.item === none ? null : { ...place, error: exitedError };
      return lastAct('the process ends: what it has in hand goes back', guilty, guilty === null && !blameless);
    },
  };
}

export type LastActs = ReturnType<typeof openLastActs>;
