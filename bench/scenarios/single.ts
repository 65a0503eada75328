import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { posts } from '../kit/client.ts';
import { inHouse, params } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Figures, Report, Scenario, Variant } from '../kit/scenario.ts';
import { median, quantile } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';

const scenario: Scenario = {
  name: 'single',
  title: 'Single items over REST: how many a second, and how long until the result',
  targets: ['P7'],
  takes: [],
  run,
};
export default scenario;

async function run(bench: Bench): Promise<Report> {
  const rows = await interleave(bench, [storing(bench), bare(bench)]);
  const idle = await interleave(bench, [waiting(bench)]);
  const rate = (label: string): number =>
    median(rows.find((row) => row.label.startsWith(label))!.runs.map((each) => each['POST/s']!));
  const ratio = rate('stored') / rate('a bare');
  const p99 = median(idle[0]!.runs.map((figures) => figures['p99 ms']!));
  return {
    tables: [
      { title: '64 requests at once', rows },
      { title: 'One after the other, until the result is there', rows: idle },
    ],
    verdicts: [
      factor('P7', 'single POSTs ≥ 0.6 × a bare Express route', ratio, 0.6),
      { target: 'P7', asks: 'POST to result, idle: p99 ≤ 20 ms', found: `${p99.toFixed(1)} ms`, ok: p99 <= 20 },
    ],
    remarks: [],
  };
}

const load = (bench: Bench) => ({ count: bench.asked.quick ? 10_000 : 40_000, atOnce: 64, body: params });

const ofTimes = (ms: number, times: readonly number[]): Figures => ({
  'POST/s': (times.length / ms) * 1000,
  'p50 ms': quantile(times, 0.5),
  'p99 ms': quantile(times, 0.99),
});

const storing = (bench: Bench): Variant => ({
  label: 'stored, 202 after the commit',
  measure: () =>
    inHouse(bench, { workers: 0 }, async ({ url }) => {
      const route = `${url}/v1/jobs/echo`;
      await posts(route, { ...load(bench), count: 2000 });
      const { ms, times } = await posts(route, load(bench));
      return ofTimes(ms, times);
    }),
});

const bare = (bench: Bench): Variant => ({
  label: 'a bare Express route',
  async measure() {
    const child = fork(fileURLToPath(new URL('../peers/express.mjs', import.meta.url)));
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    const route = `http://127.0.0.1:${port}/`;
    await posts(route, { ...load(bench), count: 2000 });
    const { ms, times } = await posts(route, load(bench));
    child.kill();
    return ofTimes(ms, times);
  },
});

const waiting = (bench: Bench): Variant => ({
  label: 'POST ?wait=10, 1 worker',
  measure: () =>
    inHouse(bench, { workers: 1 }, async ({ url }) => {
      const route = `${url}/v1/jobs/echo?wait=10`;
      await posts(route, { count: 100, atOnce: 1, body: params });
      const { ms, times } = await posts(route, { count: bench.asked.quick ? 200 : 500, atOnce: 1, body: params });
      return ofTimes(ms, times);
    }),
});
