import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFile, rm } from 'node:fs/promises';
import { sql } from 'drizzle-orm';
import type { House } from '../house.ts';
import { eventually } from '../eventually.ts';
import { checkAll } from './check.ts';
import { type Execution, readExecutions, type Window } from './executions.ts';
import { openClient } from './journal.ts';

export interface Work {
  count: number;
  /** Of each item. */
  ms?: number;
  /** Items have this many keys in turn, and each key is kept in order unless `ordered` is false. */
  keys?: number;
  ordered?: boolean;
  /** What keys begin with: a word in inputs and outputs. */
  label?: string;
  text?: string;
  /** One process stands still for so long. */
  stallMs?: number;
  options?: Record<string, unknown>;
}

/** One fault and its work: a client and the handler `journaled`, with a journal each, in a house that others use too. */
export function openTrial(house: House) {
  const file = join(tmpdir(), `bullpen-runs-${randomUUID()}`);
  const client = openClient(house.url);

  function bodyOf({ count, ms = 0, keys, ordered = true, label = 'k', text = '', stallMs = 0, options = {} }: Work) {
    const params = { file, ms, text, stallMs };
    if (keys === undefined) return { handler: 'journaled', count, params, options };
    const inputs = Array.from({ length: count }, (_, index) => ({ key: `${label}${index % keys}` }));
    const groups = ordered ? { groupBy: 'key', ordered } : {};
    return { handler: 'journaled', inputs, params, options: { ...groups, ...options } };
  }

  return {
    client,
    executions: (): Promise<Execution[]> => readExecutions(file),
    submit: (work: Work): Promise<string> => client.submit(bodyOf(work)),

    /** Asks once. What is refused must not be there in the end. */
    tryOnce: (work: Work): Promise<number> => client.tryOnce(bodyOf(work)),

    /** Pid of the process that stands still. */
    stalled: (): Promise<number> =>
      eventually(
        'one stands still',
        async () => Number(await readFile(`${file}.stalled`, 'utf8').catch(() => 0)) || null,
      ),

    /** Waits until so many items have started. */
    started: (items: number): Promise<unknown> =>
      eventually(`${items} items have started`, async () => (await readExecutions(file)).length >= items),

    /** Most workers that died, or seemed to, with one of its chunks. */
    async crashes(): Promise<number> {
      const keys = client.calls.map(({ key }) => key).join(',');
      const [row] = await house.database.db.execute<{ crashes: number }>(sql`
        select coalesce(max(crashes), 0)::int as crashes from chunks c join batches b on b.no = c.batch where b.name = any(string_to_array(${keys}::text, ','))`);
      return row!.crashes;
    },

    /** All that was accepted ends in time (I5). Answers a line for each thing that must not be. */
    async outcome({
      withinMs = 30_000,
      ...repeats
    }: { withinMs?: number; repeatsMax?: number; during?: readonly Window[] } = {}): Promise<string[]> {
      try {
        await client.settle(withinMs);
      } catch (error) {
        const open = client.calls.filter(({ id, ended }) => id !== null && ended === null);
        const places = await Promise.all(open.slice(0, 2).map(({ id }) => house.describe(id!)));
        const deaths = [house.producer, ...house.workers].flatMap((app) =>
          app.deaths().map((how) => `a ${app.app} ${how}`),
        );
        return [`I5 ${(error as Error).message}`, ...deaths, ...places];
      }
      const faults = await checkAll(house, { client, file, ...repeats });
      for (const each of [file, `${file}.stalled`]) await rm(each, { force: true });
      return faults;
    },
  };
}

export type Trial = ReturnType<typeof openTrial>;
