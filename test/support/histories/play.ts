import { setTimeout as sleep } from 'node:timers/promises';
import type { House, TestDatabase } from '@bullpen/testkit';
import { type Client, openClient, pause, retry } from './client.ts';
import type { FaultPlan, History } from './plan.ts';
import type { Staff } from './staff.ts';

/** Where histories are played. */
export interface Stage {
  house: House;
  staff: Staff;
  /** Where handlers write down what they do: on a server that is never killed. */
  witness: TestDatabase;
}

/** What has become of a history: its batches, and the faults that could be done. */
export interface Played {
  history: History;
  clients: Client[];
  done: FaultPlan['kind'][];
}

/** Servers that are away answer again. */
const settled = async (what: () => Promise<boolean>): Promise<boolean> => {
  for (let tries = 0; ; tries += 1) {
    try {
      return await what();
    } catch (error) {
      if (tries === 20) throw error;
      await sleep(500);
    }
  }
};

/** Plays a history to its end: all of its batches have ended, and nothing of them has failed. */
export async function play(stage: Stage, history: History, onBatch: (id: string) => void): Promise<Played> {
  const { house, staff, witness } = stage;
  const spreadMs = history.faults.reduce((sum, { afterMs }) => sum + afterMs, 0);
  const clients = await Promise.all(
    history.batches.map((plan, n) => openClient(house, plan, history.seed * 31 + n, spreadMs)),
  );
  for (const { id } of clients) onBatch(id);
  const done: FaultPlan['kind'][] = [];
  const faults: Promise<void>[] = [];
  for (const [n, { kind, afterMs, forMs }] of history.faults.entries()) {
    await sleep(afterMs);
    const { id } = clients[n % clients.length]!;
    const fault = (): Promise<boolean> => {
      if (kind === 'pause') return settled(() => pause(house, id, forMs / 2));
      if (kind === 'retry') return settled(async () => (await retry(house, witness, id)) > 0);
      return staff[kind](forMs);
    };
    faults.push(fault().then((isDone) => void (isDone && done.push(kind))));
  }
  await Promise.all([...faults, ...clients.map(({ finish }) => finish)]);
  for (const client of clients) await endsWhole(stage, client);
  return { history, clients, done };
}

/** What has failed until now is tried again, until all has succeeded. */
async function endsWhole({ house, witness }: Stage, { id, total }: Client): Promise<void> {
  for (;;) {
    const { counts, state } = await house.ended(id, 180_000);
    if (counts.total !== total || state !== 'completed') throw new Error(`${id}: ${state} ${JSON.stringify(counts)}`);
    if (counts.failed === 0 && counts.succeeded === total) return;
    await settled(async () => (await retry(house, witness, id)) >= 0);
  }
}
