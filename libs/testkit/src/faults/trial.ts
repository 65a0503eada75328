import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import type { House } from '../house.ts';
import { eventually } from '../eventually.ts';
import { checkAll } from './check.ts';
import { type Execution, readExecutions } from './executions.ts';
import { openClient } from './journal.ts';

export interface Work {
  count: number;
  /** Of each item. */
  ms?: number;
  /** Items have this many keys in turn, and each key is kept in order. */
  keys?: number;
  text?: string;
  options?: Record<string, unknown>;
}

/** One fault and its work: a client and the handler `journaled`, with a journal each, in a house that others use too. */
export function openTrial(house: House) {
  const file = join(tmpdir(), `bullpen-runs-${randomUUID()}`);
  const client = openClient(house.url);

  function bodyOf({ count, ms = 0, keys, text = '', options = {} }: Work) {
    const params = { file, ms, text };
    if (keys === undefined) return { handler: 'journaled', count, params, options };
    const inputs = Array.from({ length: count }, (_, index) => ({ key: `k${index % keys}` }));
    return { handler: 'journaled', inputs, params, options: { groupBy: 'key', ordered: true, ...options } };
  }

  return {
    client,
    executions: (): Promise<Execution[]> => readExecutions(file),
    submit: (work: Work): Promise<string> => client.submit(bodyOf(work)),

    /** Waits until so many items have started. */
    started: (items: number): Promise<unknown> =>
      eventually(`${items} items have started`, async () => (await readExecutions(file)).length >= items),

    /** All that was accepted ends in time (I5). Answers a line for each thing that must not be. */
    async outcome({ repeatsMax = 0, withinMs = 30_000 } = {}): Promise<string[]> {
      try {
        await client.settle(withinMs);
      } catch (error) {
        const open = client.calls.filter(({ id, ended }) => id !== null && ended === null);
        const places = await Promise.all(open.slice(0, 2).map(({ id }) => house.describe(id!)));
        return [`I5 ${(error as Error).message}`, ...places];
      }
      const faults = await checkAll(house, { client, file, repeatsMax });
      await rm(file, { force: true });
      return faults;
    },
  };
}

export type Trial = ReturnType<typeof openTrial>;
