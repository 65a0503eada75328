import { download, posts, upload } from '../kit/client.ts';
import { inHouse, params } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { figure, median, quantile } from '../kit/stats.ts';
import { watchUsage } from '../kit/usage.ts';

const scenario: Scenario = {
  name: 'intake',
  title: 'Handing work over: by count, as NDJSON, and what the producer needs for it',
  targets: ['P3', 'P8'],
  takes: [],
  run,
};
export default scenario;

async function run(bench: Bench): Promise<Report> {
  const { quick } = bench.asked;
  const lines = quick ? 200_000 : 1_000_000;
  const accepted = await interleave(bench, [
    byCount(bench, 10_000_000),
    byCount(bench, 750_000),
    byLines(bench, lines),
    byLines(bench, lines, 'id'),
    ...(quick ? [] : [byLines(bench, 750_000)]),
  ]);
  const memory = await interleave(bench, [large(bench, quick ? 1_500_000 : 9_500_000)], 1);
  return {
    tables: [
      { title: 'From the first byte to 202, no workers', rows: accepted },
      { title: 'A large upload, a reader of 5 million results beside it, and single requests', rows: memory },
    ],
    verdicts: [...speedVerdicts(accepted, lines), ...memoryVerdicts(memory)],
    remarks: [],
  };
}

const byCount = (bench: Bench, items: number): Variant => ({
  label: `count: ${figure(items)}`,
  measure: () =>
    inHouse(bench, { workers: 0 }, async ({ client }) => {
      const started = performance.now();
      await client.submit({ handler: 'echo', count: items });
      const seconds = (performance.now() - started) / 1000;
      return { seconds, 'items/s': items / seconds };
    }),
});

const byLines = (bench: Bench, lines: number, groupBy?: string): Variant => ({
  label: `${figure(lines)} lines of 112 bytes${groupBy === undefined ? '' : ', each a group'}`,
  measure: () =>
    inHouse(bench, { workers: 0 }, async ({ url, watched }) => {
      const usage = watchUsage(watched());
      const groups = groupBy === undefined ? '' : `&groupBy=${groupBy}&ordered=true`;
      const { ms } = await upload(`${url}/v1/batches?handler=echo${groups}`, lines);
      return { seconds: ms / 1000, 'items/s': (lines / ms) * 1000, 'MB producer': usage.stop()['producer']!.rssMb };
    }),
});

/** The producer alone decides here, so there are no workers; results are put there by SQL. */
const large = (bench: Bench, lines: number): Variant => ({
  label: `${figure((lines * 112) / 1e6)} MB`,
  measure: () =>
    inHouse(bench, { workers: 0 }, async ({ client, sql, url, watched }) => {
      const rows = bench.asked.quick ? 500_000 : 5_000_000;
      const { id } = await client.submit({ handler: 'echo', count: rows });
      await sql`insert into results (batch, index, finished_at, status, attempt, output)
        select no, i, now(), 1, 1, ${JSON.stringify(params)}::text::json from batches, generate_series(0, ${rows - 1}::int) i where id = ${id}`;
      const usage = watchUsage(watched());
      const jobs = (): ReturnType<typeof posts> =>
        posts(`${url}/v1/jobs/echo`, { count: 200, atOnce: 1, body: params });
      const uploading = upload(`${url}/v1/batches?handler=echo`, lines);
      const alone = await jobs();
      const downloading = download(`${url}/v1/batches/${id}/results`, 20);
      const beside = await jobs();
      const [sent, taken] = await Promise.all([uploading, downloading]);
      return {
        'MB producer': usage.stop()['producer']!.rssMb,
        'MB/s up': sent.bytes / sent.ms / 1000,
        'MB/s down': taken.bytes / taken.ms / 1000,
        'POST p99 ms, upload': quantile(alone.times, 0.99),
        'POST p99 ms, both': quantile(beside.times, 0.99),
      };
    }),
});

const medianOf = (rows: readonly Measured[], label: string, name: string): number =>
  median(rows.find((row) => row.label.startsWith(label))!.runs.map((figures) => figures[name]!));

function speedVerdicts(rows: readonly Measured[], lines: number): Verdict[] {
  const all = medianOf(rows, 'count: 10', 'seconds');
  const blocks = medianOf(rows, 'count: 750', 'seconds');
  const perSecond = medianOf(rows, figure(lines), 'items/s');
  const asLines = rows.some(({ label }) => label.startsWith('750')) ? medianOf(rows, '750', 'seconds') : null;
  return [
    { target: 'P3', asks: 'count: 10 000 000 < 1 s', found: `${all.toFixed(2)} s`, ok: all < 1 },
    { target: 'P3', asks: 'NDJSON ≥ 200 000 lines/s', found: figure(perSecond), ok: perSecond >= 200_000 },
    { target: 'P3', asks: '750 000 blocks by count < 2 s', found: `${blocks.toFixed(2)} s`, ok: blocks < 2 },
    ...(asLines === null
      ? []
      : [{ target: 'P3', asks: '750 000 blocks as NDJSON < 5 s', found: `${asLines.toFixed(2)} s`, ok: asLines < 5 }]),
  ];
}

function memoryVerdicts(rows: readonly Measured[]): Verdict[] {
  const mb = median(rows[0]!.runs.map((figures) => figures['MB producer']!));
  return [
    {
      target: 'P8',
      asks: `producer ≤ 250 MB beside ${rows[0]!.label} up and a download`,
      found: `${mb} MB`,
      ok: mb <= 250,
    },
  ];
}
