import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AppProcess,
  checkLedger,
  createDice,
  type Dice,
  eventually,
  hasRedis,
  type House,
  redisPid,
  startHouse,
} from '@bullpen/testkit';
import { afterEach, describe, expect, it } from 'vitest';
import { seed as first } from './faults/seed.ts';

const playMs = 20_000;
const leaseMs = 1500;

let house: House;
afterEach(() => house.stop());

/** What the clients of this test were told: ids that were answered 202, and those that were seen as completed. */
interface Journal {
  accepted: Map<string, number>;
  completed: Set<string>;
  takenBack: string[];
}

/** Submits all the time; a request that fails is no promise, so nothing is written down for it. */
async function submitAll(dice: Dice, journal: Journal, until: number): Promise<void> {
  while (performance.now() < until) {
    const count = 1 + dice.below(4000);
    const body = dice.chance(0.5)
      ? { handler: 'echo', count }
      : { handler: 'fail', count, params: { rate: 0.05, untilAttempt: 2 }, options: { backoffMs: 50 } };
    await house.submit(body).then(
      (id) => journal.accepted.set(id, count),
      () => undefined,
    );
    await sleep(dice.below(150));
  }
}

async function watch(dice: Dice, journal: Journal, until: () => boolean): Promise<void> {
  while (!until()) {
    await sleep(20);
    const id = [...journal.accepted.keys()][dice.below(journal.accepted.size)];
    if (id === undefined) continue;
    const found = await house.batch(id).catch(() => null);
    if (found?.counts === undefined) continue;
    const { total, pending, running, succeeded, failed, cancelled } = found.counts;
    expect(pending + running + succeeded + failed + cancelled).toBe(total);
    if (found.state === 'completed') journal.completed.add(id);
    else if (journal.completed.has(id)) journal.takenBack.push(id);
  }
}

const restartLater = async (app: AppProcess, ms: number): Promise<void> => {
  await app.end('SIGKILL');
  await sleep(ms);
  // It may meet a server that was just killed: its supervisor would start it again.
  await eventually(`${app.app} starts`, () => app.restart().then(() => true, () => false)); // prettier-ignore
};

/** A server that was killed a moment ago may not be there again. */
const kill = (pid: number | null): void => {
  try {
    if (pid !== null) process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
};

const faults: Record<string, (dice: Dice) => Promise<void>> = {
  'worker killed': (dice) => restartLater(house.workers[dice.below(house.workers.length)]!, dice.below(500)),
  'producer killed': (dice) => restartLater(house.producer, dice.below(300)),
  'worker frozen': async (dice) => {
    const worker = house.workers[dice.below(house.workers.length)]!;
    worker.signal('SIGSTOP');
    await sleep(leaseMs * 2);
    worker.signal('SIGCONT');
  },
  'queues emptied': () => house.forgetJobs().catch(() => undefined),
  'redis killed': async () => {
    if (!hasRedis) return;
    kill(await redisPid(house.redisUrl).catch(() => null));
  },
  'postgres killed': async () => {
    kill(await house.servers.pidOf('postgres').catch(() => null));
  },
};

describe('under random faults', () => {
  it.each(process.env['FAULTS_FULL'] ? [first, first + 1, first + 2] : [first])(
    'nothing that was accepted is lost or doubled (seed %i)',
    async (seed) => {
      const dice = createDice(seed);
      house = await startHouse({ workers: 3, ownServers: true, env: { LEASE_MS: String(leaseMs) } });
      const journal: Journal = { accepted: new Map(), completed: new Set(), takenBack: [] };
      const until = performance.now() + playMs;
      let settled = false;
      const clients = [submitAll(dice, journal, until), submitAll(dice, journal, until)];
      const watching = watch(dice, journal, () => settled);
      const done: string[] = [];
      while (performance.now() < until) {
        const [name, fault] = Object.entries(faults)[dice.below(Object.keys(faults).length)]!;
        await fault(dice);
        done.push(name);
        await sleep(300 + dice.below(1200));
      }
      await Promise.all(clients);
      const started = performance.now();
      for (const id of journal.accepted.keys()) await house.ended(id, 30_000);
      const settledInMs = Math.round(performance.now() - started);
      settled = true;
      await watching;
      console.log(
        `seed ${seed}: ${journal.accepted.size} batches, ${done.length} faults (${done.join(', ')}), settled in ${settledInMs} ms`,
      );
      for (const [id, count] of journal.accepted)
        expect((await house.batch(id)).counts).toMatchObject({ total: count, succeeded: count });
      expect(journal.takenBack).toEqual([]);
      // Batches whose answer was cut may exist too: they end as well, and every one of them is whole.
      await eventually('the rest ends', async () => {
        const running = await house.database.statements.batches({
          owner: '',
          kind: 'batch',
          state: 'running',
          limit: 1,
        });
        return running.length === 0;
      });
      expect(await checkLedger(house.database)).toEqual([]);
    },
    120_000,
  );
});
