import { type House, type HouseOptions, startHouse } from './house.ts';
import type { Bench } from './scenario.ts';

/** What `echo` returns for an item: as much as `outputOf` makes in the other systems, about 45 bytes. */
export const params = { score: 100_037, turns: 12, winner: 'team3' };

/** Measures in a house of its own, which is gone afterwards. */
export async function inHouse<Answer>(
  { servers }: Bench,
  options: HouseOptions,
  measure: (house: House) => Promise<Answer>,
): Promise<Answer> {
  const house = await startHouse(servers, { ...options, env: { METRICS_WINDOW_MS: '1000', ...options.env } });
  try {
    return await measure(house);
  } finally {
    await house.stop();
  }
}

/** The first items of a process run in the interpreter. */
export const warm = (house: House, handler = 'echo', given: object = params): Promise<unknown> =>
  house.run({ handler, count: 10_000 * house.workers.length, params: given });

export const workersText = (workers: number): string => `${workers} ${workers === 1 ? 'worker' : 'workers'}`;
