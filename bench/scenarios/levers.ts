import { flushRows } from '../kit/flush-rows.ts';
import { inHouse, params } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import { type Lever, levers, type Point } from '../kit/levers.ts';
import { watchLoad } from '../kit/load.ts';
import { publishJobs } from '../kit/publish-jobs.ts';
import type { Bench, Measured, Report, Scenario, Variant } from '../kit/scenario.ts';
import { figure } from '../kit/stats.ts';

const scenario: Scenario = {
  name: 'levers',
  title: 'Each setting that the rate may hang on, moved alone, in turns with its default',
  targets: [],
  isAside: true,
  run,
};
export default scenario;

type Table = Report['tables'][number];

async function run(bench: Bench): Promise<Report> {
  const tables: Table[] = [];
  for (const lever of levers) tables.push(await tableOf(bench, lever, (point) => inWorkers(bench, lever, point)));
  tables.push(await tableOf(bench, connections, ({ label }) => ofConnections(bench, Number(label))));
  tables.push(await tableOf(bench, calls, ({ label }) => ofCalls(bench, label)));
  return { tables, verdicts: [], remarks: tables.map(best) };
}

/** The points of a lever in turns, each beside the default of the same turn. */
async function tableOf(bench: Bench, lever: Lever, variantOf: (point: Point) => Variant): Promise<Table> {
  bench.say(`${lever.setting}: ${lever.title}`);
  const rows = await interleave(bench, lever.points.map(variantOf));
  const base = rows.find(({ label }) => label === lever.normal)!;
  const words = { lever: lever.setting, default: lever.normal, seed: lever.seed };
  const title = `${lever.setting}: ${lever.title}`;
  return { title, rows: rows.map((row) => ({ ...row, words, runs: beside(base, row) })) };
}

const beside = (base: Measured, row: Measured): Measured['runs'] =>
  row.runs.map((figures, at) => {
    const [name, value] = Object.entries(figures)[0]!;
    return { [name]: value, '× default': value / base.runs[at]![name]!, ...figures };
  });

const inWorkers = (
  bench: Bench,
  { part = 1 }: Lever,
  { label, options = {}, env = {}, envOfWorker }: Point,
): Variant => ({
  label,
  measure() {
    const { quick, workers = 3 } = bench.asked;
    const items = Math.ceil((bench.asked.items ?? (quick ? 60_000 : 500_000)) * part);
    return inHouse(bench, { workers, env, ...(envOfWorker && { envOfWorker }) }, async (house) => {
      const body = { handler: 'echo', params, options };
      await house.run({ ...body, count: Math.ceil(items / 6) });
      const load = await watchLoad(bench.servers, house.databaseUrl);
      const { itemsPerSecond } = await house.run({ ...body, count: items });
      const taken = await load.stop(items, () => Promise.all([house.dismiss(), house.producer.stop()]));
      return { 'items/s': itemsPerSecond, ...taken };
    });
  },
});

const connections: Lever = {
  setting: 'flushes at once',
  title: 'The flush statement alone, 4 chunks of 1 000 results each, over so many connections into one batch',
  normal: '2',
  seed: '1: one a worker',
  points: [{ label: '2' }, { label: '1' }, { label: '3' }],
};

const ofConnections = (bench: Bench, count: number): Variant => ({
  label: String(count),
  measure: async () => ({ 'rows/s': await flushRows(bench, count, bench.asked.quick ? 100_000 : 500_000) }),
});

const calls: Lever = {
  setting: 'addBulk',
  title: 'Adding jobs to 12 empty queues: calls at once × jobs of a call',
  normal: '8 × 100',
  seed: '1: one by one, 1 × 1 → in parallel × 100',
  points: ['8 × 100', '8 × 1', '8 × 1000', '1 × 1', '1 × 100', '1 × 1000'].map((label) => ({ label })),
};

const ofCalls = (bench: Bench, label: string): Variant => ({
  label,
  async measure() {
    const [parallelism, jobsPerCall] = label.split(' × ').map(Number) as [number, number];
    const jobs = bench.asked.quick ? 6000 : 24_000;
    return { 'jobs/s': await publishJobs(bench, { jobs, jobsPerCall, parallelism }) };
  },
});

/** The point that beats the default in each turn, and by how much at least: of one turn alone that may be chance. */
function best({ rows }: Table): string {
  const least = (row: Measured): number => Math.min(...row.runs.map((figures) => figures['× default']!));
  const top = rows.reduce((a, b) => (least(b) > least(a) ? b : a));
  const { lever, default: normal } = top.words as { lever: string; default: string };
  if (top.label === normal) return `${lever}: nothing beats the default, ${normal}, in each turn`;
  const turns = top.runs.length === 1 ? 'one turn, which may be chance' : `each of ${top.runs.length} turns`;
  return `${lever}: ${top.label} beats the default, ${normal}, in ${turns}: ${figure(least(top))} × or more`;
}
