import { randomUUID } from 'node:crypto';
import type { Claimed, Flushed } from '@bullpen/db';
import { type TestDatabase, texts } from '@bullpen/testkit';
import type { SQL } from 'drizzle-orm';

export interface Accepted {
  id: string;
  no: number;
}

/** Accepts a batch of `echo`, of 10 items in one chunk unless it is said otherwise. */
export async function acceptBatch(
  { statements }: TestDatabase,
  options: { total?: number; size?: number; inputs?: boolean; key?: string } = {},
): Promise<Accepted> {
  const { total = 10, size = 10, inputs = false, key } = options;
  const id = randomUUID();
  const known = key === undefined ? undefined : { key, hash: 'h' };
  const batch = { id, name: null, handler: 'echo', total, params: null, options: '{}', key: known };
  const chunks = Array.from({ length: total / size }, (_, i) => ({
    first: i * size,
    size,
    items: JSON.stringify(Array(size).fill(1)),
  }));
  return { id, no: inputs ? await statements.acceptInputs(batch, chunks) : await statements.acceptCount(batch, size) };
}

export type Held = Claimed & { claim: string };

/** Marks and claims up to `n` chunks for a worker that nobody knows. */
export async function claimSome({ statements }: TestDatabase, n = 1000): Promise<Held[]> {
  const slots = Array.from({ length: n }, (_, i) => i % 12);
  const marked = await statements.mark({ handlers: ['echo'], slots, each: n, itemsMax: 1e9 });
  const claim = randomUUID();
  const nos = marked.map(({ no }) => no);
  const held = await statements.claim({ nos, claim, worker: randomUUID(), handlers: ['echo'] });
  return held.map((chunk) => ({ ...chunk, claim }));
}

/** Flushes chunks whole: item i answers i, or fails. */
export function finish(
  { statements }: TestDatabase,
  held: readonly Held[],
  { fail = false, partial = null }: { fail?: boolean; partial?: string | null } = {},
): Promise<Flushed[]> {
  const settled = held.map(({ no, claim, first, size }) => {
    const indexes = Array.from({ length: size }, (_, i) => first + i);
    const failures = fail ? indexes.map((index) => ({ index, error: { code: 'bad', message: 'as asked' } })) : [];
    return { no, claim, first, succeeded: fail ? 0 : size, outputs: fail ? '' : texts(indexes), indexes: fail ? [] : null, failures, rests: [], partial };
  }); // prettier-ignore
  return statements.flush(settled);
}

/** Does all that waits. */
export async function runAll(database: TestDatabase, how: { fail?: boolean; partial?: string } = {}): Promise<void> {
  for (let held = await claimSome(database); held.length > 0; held = await claimSome(database))
    await finish(database, held, how);
}

/** The one row of a read. */
export async function only<Row>({ db }: TestDatabase, query: SQL): Promise<Row> {
  return ((await db.execute(query)) as unknown as Row[])[0]!;
}
