import { randomUUID } from 'node:crypto';
import type { Claimed, Flushed, Marked, Settled } from '@bullpen/db';
import { idleFacts, type TestDatabase, texts } from '@bullpen/testkit';
import type { SQL } from 'drizzle-orm';

export interface Accepted {
  id: string;
  no: number;
}

/** Accepts a batch of `echo`, of 10 items in one chunk unless it is said otherwise. */
export async function acceptBatch(
  { statements }: TestDatabase,
  given: { total?: number; size?: number; inputs?: boolean; key?: string; options?: string; handler?: string } = {},
): Promise<Accepted> {
  const { total = 10, size = 10, inputs = false, key, options = '{}', handler = 'echo' } = given;
  const id = randomUUID();
  const known = key === undefined ? undefined : { key, hash: 'h' };
  const batch = { id, name: null, handler, total, params: null, options, key: known };
  const chunks = Array.from({ length: total / size }, (_, i) => ({
    first: i * size,
    size,
    items: JSON.stringify(Array(size).fill(1)),
  }));
  return { id, no: inputs ? await statements.acceptInputs(batch, chunks) : await statements.acceptCount(batch, size) };
}

/** Makes a worker known. */
export const join = ({ statements }: Pick<TestDatabase, 'statements'>, id: string): Promise<void> =>
  statements.register({ id, name: 'w', host: 'h', pid: 1, handlers: ['echo'], concurrency: 4, facts: idleFacts });

/** Marks up to `n` chunks as published, for all partitions in turn. */
export const markSome = ({ statements }: TestDatabase, n = 1000): Promise<Marked[]> =>
  statements.mark({ handlers: ['echo'], slots: Array.from({ length: n }, (_, i) => i % 12), itemsMax: 1e9 });

export type Held = Claimed & { claim: string };

/** Marks and claims up to `n` chunks, for a worker that nobody knows unless one is named; the oldest first. */
export async function claimSome(
  database: TestDatabase,
  { n, worker = randomUUID(), claim = randomUUID() }: { n?: number; worker?: string; claim?: string } = {},
): Promise<Held[]> {
  const nos = (await markSome(database, n)).map(({ no }) => no);
  const held = await database.statements.claim({ nos, claim, worker, handlers: ['echo'] });
  return held.map((chunk) => ({ ...chunk, claim })).sort((a, b) => a.no - b.no);
}

const indexesOf = ({ first, size }: Claimed): number[] => Array.from({ length: size }, (_, i) => first + i);

/** A chunk of which every item i answered i. */
export const whole = (held: Held, more: Partial<Settled> = {}): Settled => ({
  no: held.no,
  claim: held.claim,
  first: held.first,
  succeeded: held.size,
  outputs: texts(indexesOf(held)),
  indexes: null,
  failures: [],
  rests: [],
  ...more,
});

/** A chunk of which every item failed. */
const failed = (held: Held): Settled => {
  const failures = indexesOf(held).map((index) => ({ index, error: { code: 'bad', message: 'as asked' } }));
  return whole(held, { succeeded: 0, outputs: '', indexes: [], failures });
};

/** Flushes chunks whole: item i answers i, or fails. */
export const finish = (
  { statements }: TestDatabase,
  held: readonly Held[],
  { fail = false, partial = null }: { fail?: boolean; partial?: string | null } = {},
): Promise<Flushed[]> => statements.flush(held.map((chunk) => ({ ...(fail ? failed(chunk) : whole(chunk)), partial })));

/** Does all that waits. */
export async function runAll(database: TestDatabase, how: { fail?: boolean; partial?: string } = {}): Promise<void> {
  for (let held = await claimSome(database); held.length > 0; held = await claimSome(database))
    await finish(database, held, how);
}

/** The one row of a read. */
export async function only<Row>({ db }: TestDatabase, query: SQL): Promise<Row> {
  return ((await db.execute(query)) as unknown as Row[])[0]!;
}
