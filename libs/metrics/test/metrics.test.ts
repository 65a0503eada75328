import { expect, it } from 'vitest';
import { createMetrics } from '../src/metrics.ts';

/** Without its comments. */
const linesOf = async (metrics: ReturnType<typeof createMetrics>): Promise<string[]> =>
  (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));

it('reads at each scrape, and leaves out what nobody knows', async () => {
  const metrics = createMetrics();
  let known: number | null = null;
  metrics.gauge({ name: 'a_seconds', help: 'a', read: () => known });
  metrics.counter({ name: 'b_total', help: 'b', label: 'which', read: () => [['x', 3], ['y', known]] }); // prettier-ignore
  expect(await linesOf(metrics)).toEqual(['b_total{which="x"} 3']);
  known = 1.5;
  const all = ['a_seconds 1.5', 'b_total{which="x"} 3', 'b_total{which="y"} 1.5'];
  expect(await linesOf(metrics)).toEqual(all);
  expect(await linesOf(metrics)).toEqual(all);
});

it('has every phase from the start, and puts a time into all buckets that it fits', async () => {
  const metrics = createMetrics();
  const observe = metrics.phases(['claim', 'flush']);
  observe('flush', 40);
  const lines = await linesOf(metrics);
  const name = 'bullpen_phase_duration_seconds';
  expect(lines).toContain(`${name}_count{phase="claim"} 0`);
  expect(lines).toContain(`${name}_sum{phase="flush"} 0.04`);
  expect(lines).toContain(`${name}_bucket{le="0.025",phase="flush"} 0`);
  expect(lines).toContain(`${name}_bucket{le="0.05",phase="flush"} 1`);
});

it('is made once for all who ask at the same time', async () => {
  const metrics = createMetrics();
  let prepared = 0;
  metrics.prepare(async () => void (prepared += 1));
  await Promise.all(Array.from({ length: 100 }, () => metrics.text()));
  expect(prepared).toBe(1);
  await metrics.text();
  expect(prepared).toBe(2);
});
