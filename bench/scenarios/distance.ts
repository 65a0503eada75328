import { delayed } from '../kit/delay.ts';
import { inHouse, params } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Measured, Report, Scenario, Variant } from '../kit/scenario.ts';
import { figure, median } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';

const scenario: Scenario = {
  name: 'distance',
  title: 'A worker that is away from both servers',
  targets: ['P4'],
  run,
};
export default scenario;

async function run(bench: Bench): Promise<Report> {
  const distances = bench.asked.quick ? [0, 50] : [0, 1, 10, 50, 200];
  const rows = await interleave(
    bench,
    distances.map((ms) => away(bench, ms)),
  );
  const rateAt = (ms: number): number => median(rows.find(({ label }) => label === labelOf(ms))!.runs.map(rateOf));
  const [near, far] = [rateAt(0), rateAt(50)];
  return {
    tables: [{ title: scenario.title, rows }],
    verdicts: [
      factor('P4', '50 ms away ≥ 0.8 × of here', far / near, 0.8),
      { target: 'P4', asks: '50 ms away ≥ 40 000 items/s', found: figure(far), ok: far >= 40_000 },
    ],
    remarks: [],
  };
}

const rateOf = (figures: Measured['runs'][number]): number => figures['items/s']!;
const labelOf = (ms: number): string => `${ms} ms away`;

/** All go through a proxy, so that only the time differs; the producer stays with the servers. */
const away = (bench: Bench, ms: number): Variant => ({
  label: labelOf(ms),
  async measure() {
    const { items = bench.asked.quick ? 200_000 : 500_000, workers = 1 } = bench.asked;
    return inHouse(bench, { workers: 0 }, async (house) => {
      const database = await delayed(house.databaseUrl, ms);
      const redis = await delayed(bench.servers.redisUrl, ms);
      try {
        for (let at = 0; at < workers; at += 1)
          await house.addWorker({ DATABASE_URL: database.url, REDIS_URL: redis.url });
        // It learns the distance and its rate from what it does.
        await house.run({ handler: 'echo', count: 100_000, params });
        const ran = await house.run({ handler: 'echo', count: items, params });
        const { items: seen } = await house.client.workers();
        await house.dismiss();
        return { 'items/s': ran.itemsPerSecond, 'ms to postgres': seen[0]?.roundTripMs?.postgres ?? 0 };
      } finally {
        await Promise.all([database.stop(), redis.stop()]);
      }
    });
  },
});
