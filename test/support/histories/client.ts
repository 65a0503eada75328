import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, forgive, type House, type TestDatabase } from '@bullpen/testkit';
import { type BatchPlan, inputsOf } from './plan.ts';

/** Servers are killed meanwhile, on a machine that others use too. */
const patienceMs = 120_000;

/** Sends a request until it is taken; under a key, so that it is taken once. */
async function send<Answer>(house: House, path: string, body: object | null): Promise<Answer> {
  const headers = { 'content-type': 'application/json', 'idempotency-key': randomUUID() };
  const init = { method: 'POST', headers, ...(body === null ? {} : { body: JSON.stringify(body) }) };
  return await eventually(
    `POST ${path}`,
    async () => {
      const answer = await house.request<Answer>(path, init).catch(() => null);
      if (answer === null || answer.status >= 500 || answer.status === 409) return null;
      if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body;
    },
    patienceMs,
  );
}

/** A batch of a history as its client sees it. */
export interface Client {
  id: string;
  total: number;
  /** Brings the rest of its items and closes it. */
  finish: Promise<void>;
}

/** Submits a batch, and appends to it within about so many ms. */
export async function openClient(house: House, plan: BatchPlan, seed: number, spreadMs: number): Promise<Client> {
  const inputs = inputsOf(plan, seed);
  const isOpen = plan.appends > 0;
  const first = isOpen ? Math.ceil(inputs.length / 2) : inputs.length;
  const options = { groupBy: 'key', ordered: true, chunkSize: plan.chunkSize, maxAttempts: 25, open: isOpen };
  const { id } = await send<{ id: string }>(house, '/v1/batches', {
    handler: 'grouped',
    inputs: inputs.slice(0, first),
    options,
  });
  const each = Math.ceil((inputs.length - first) / Math.max(1, plan.appends));
  const finish = async (): Promise<void> => {
    if (!isOpen) return;
    for (let at = first; at < inputs.length; at += each) {
      await sleep(spreadMs / plan.appends);
      await send(house, `/v1/batches/${id}/items`, inputs.slice(at, at + each));
    }
    await send(house, `/v1/batches/${id}/close`, null);
  };
  return { id, total: inputs.length, finish: finish() };
}

const numberOf = async (house: House, id: string): Promise<number> => {
  const row = await house.database.statements.counts(id);
  return row!.no;
};

/** Tries what has failed again, now that it succeeds. Answers how many items. */
export async function retry(house: House, witness: TestDatabase, id: string): Promise<number> {
  await forgive(witness, id);
  return await house.database.statements.retry(await numberOf(house, id));
}

export async function pause(house: House, id: string, forMs: number): Promise<boolean> {
  const { statements } = house.database;
  const no = await numberOf(house, id);
  const isPaused = await statements.pause(no);
  await sleep(forMs);
  return (await statements.resume(no)) || isPaused;
}
