import { randomUUID } from 'node:crypto';
import type { Claimed, Settled, Statements } from '@bullpen/db';
import { type TestDatabase, texts } from '@bullpen/testkit';

export const facts = {
  chunksInFlight: 0,
  chunksMax: 8,
  itemsDone: 0,
  itemsPerSecond: 0,
  chunksPerSecond: 0,
  turnaroundMs: 0,
  roundTripMs: { redis: 0, postgres: 0 },
};
export const register = (statements: Statements, id: string, handlers = ['echo']): Promise<void> =>
  statements.register({ id, name: 'w', host: 'h', pid: 1, handlers, concurrency: 4, facts });
export const accept = async (
  { statements }: TestDatabase,
  total: number,
  size: number,
): Promise<{ no: number; id: string }> => {
  const id = randomUUID();
  return {
    no: await statements.acceptCount({ id, name: null, handler: 'echo', total, params: null, options: '{}' }, size),
    id,
  };
};
export const mark = ({ statements }: TestDatabase, n = 12) =>
  statements.mark({
    handlers: ['echo'],
    slots: Array.from({ length: n }, (_, i) => i % 12),
    each: n,
    itemsMax: 1_000_000,
  });
export const whole = (held: Claimed, claim: string): Settled => ({
  no: held.no, claim, first: held.first, succeeded: held.size,
  outputs: texts(Array.from({ length: held.size }, (_, i) => held.first + i)), indexes: null, failures: [], rests: [],
}); // prettier-ignore
export async function claimAll(database: TestDatabase, worker: string, claim = randomUUID()): Promise<Claimed[]> {
  const marked = await mark(database);
  return database.statements.claim({ nos: marked.map((chunk) => chunk.no), claim, worker, handlers: ['echo'] });
}
