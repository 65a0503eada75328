import { randomUUID } from 'node:crypto';
import type { Marked } from '@bullpen/db';
import type { TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { acceptBatch, finish } from './work.ts';

const handlers = ['echo', 'other'];

/** A batch of so many chunks of 10 items, with what its options say. */
export async function accept(
  database: TestDatabase,
  chunks: number,
  options: object = {},
  { owner = '', handler = 'echo' } = {},
): Promise<number> {
  const { no } = await acceptBatch(database, { total: chunks * 10, options: JSON.stringify(options), handler });
  if (owner !== '') await database.db.execute(sql`update batches set owner = ${owner}, pass = 0 where no = ${no}`);
  return no;
}

/** Marks so many chunks, and answers them by their turn. */
export async function mark(
  { statements }: TestDatabase,
  n: number,
  more: { spare?: number[] } = {},
): Promise<Marked[]> {
  const slots = Array.from({ length: n }, (_, i) => i % 12);
  const marked = await statements.mark({ handlers, slots, itemsMax: 1e9, ...more });
  return marked.sort((a, b) => a.tag - b.tag);
}

export async function serve(database: TestDatabase, marked: readonly Marked[]): Promise<void> {
  const claim = randomUUID();
  const nos = marked.map(({ no }) => no);
  const held = await database.statements.claim({ nos, claim, worker: randomUUID(), handlers });
  await finish(database, held.map((chunk) => ({ ...chunk, claim }))); // prettier-ignore
}

/** How many chunks of each batch. */
export const count = (marked: readonly Marked[], batch: number): number =>
  marked.filter((each) => each.batch.no === batch).length;

export async function rounds(database: TestDatabase, n: number, each: number): Promise<Marked[]> {
  const all: Marked[] = [];
  for (let round = 0; round < n; round += 1) {
    const marked = await mark(database, each);
    all.push(...marked);
    await serve(database, marked);
  }
  return all;
}
