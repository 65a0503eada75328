import type { House } from './house.ts';
import type { Figures } from './scenario.ts';

/** The smallest and the largest part of the items that a worker ran. */
export async function sharesOf({ client, workers }: House): Promise<Figures> {
  if (workers.length === 1) return {};
  const done = (await client.workers()).items.map(({ itemsDone }) => itemsDone);
  const total = done.reduce((sum, each) => sum + each, 0);
  return { 'least share %': (Math.min(...done) / total) * 100, 'most share %': (Math.max(...done) / total) * 100 };
}
