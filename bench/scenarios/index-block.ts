import { setTimeout as sleep } from 'node:timers/promises';
import { uploadHeights } from '../kit/client.ts';
import { ended, type House } from '../kit/house.ts';
import { inHouse, warm } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Figures, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { figure, median } from '../kit/stats.ts';
import { rssMbOf, watchUsage } from '../kit/usage.ts';

const scenario: Scenario = {
  name: 'index-block',
  title: 'Heights of a chain by count and as NDJSON, up to the last result, and eight batches at once',
  targets: ['seed 2', 'P3'],
  takes: ['items', 'workers'],
  isSeed: true,
  run,
};
export default scenario;

const handler = 'index-block';
const params = { chain: 'bench' };
const batchesAtOnce = 8;
const restMs = 10_000;

/** Of the design, never measured: it started one workflow a height. */
const theSeed = {
  few: '1 000 starts in 5 ms',
  many: '750 000 starts in 3–5 s, claimed',
  atOnce: 'to be watched for leaks',
};

async function run(bench: Bench): Promise<Report> {
  const { quick, items = quick ? 100_000 : 750_000 } = bench.asked;
  const faults: string[] = [];
  const variants = [byCount(bench, 1000, faults), byCount(bench, items, faults), byLines(bench, items, faults)];
  const rows = await interleave(bench, variants);
  const [few, count, lines] = rows as [Measured, Measured, Measured];
  few.words = { 'the seed': theSeed.few };
  count.words = lines.words = { 'the seed': theSeed.many };
  const [atOnce] = (await interleave(bench, [manyAtOnce(bench, items, faults)], 1)) as [Measured];
  atOnce.words = { 'the seed': theSeed.atOnce };
  return {
    tables: [
      { title: 'One batch', rows },
      { title: `${batchesAtOnce} batches of ${figure(items)} heights at once, by count`, rows: [atOnce] },
    ],
    verdicts: verdictsOf({ items, count, lines, atOnce, faults }),
    remarks: [],
  };
}

const inWarmHouse = (bench: Bench, measure: (house: House) => Promise<Figures>): Promise<Figures> =>
  inHouse(bench, { workers: bench.asked.workers ?? 3 }, async (house) => {
    await warm(house, handler, { chain: 'warm' });
    return measure(house);
  });

const figuresOf = (items: number, acceptMs: number, ms: number): Figures => ({
  'accepted in ms': acceptMs,
  'last result after ms': ms,
  'items/s': (items / ms) * 1000,
});

const byCount = (bench: Bench, items: number, faults: string[]): Variant => ({
  label: `${figure(items)} heights by count`,
  measure: () =>
    inWarmHouse(bench, async (house) => {
      const { batch, acceptMs, seconds } = await house.run({ handler, count: items, params });
      faults.push(...(await faultsOf(house, batch.id, items)), ...(await mixedFailures(house, items / 10)));
      return figuresOf(items, acceptMs, seconds * 1000);
    }),
});

/** The lines come from a process of its own. */
const byLines = (bench: Bench, items: number, faults: string[]): Variant => ({
  label: `${figure(items)} heights as NDJSON`,
  measure: () =>
    inWarmHouse(bench, async (house) => {
      const header = Buffer.from(JSON.stringify({ params })).toString('base64url');
      const started = performance.now();
      const { ms, id } = await uploadHeights(`${house.url}/v1/batches?handler=${handler}`, items, header);
      await ended(house.client, id);
      const taken = performance.now() - started;
      faults.push(...(await faultsOf(house, id, items)));
      return figuresOf(items, ms, taken);
    }),
});

const manyAtOnce = (bench: Bench, items: number, faults: string[]): Variant => ({
  label: `${batchesAtOnce} at once`,
  measure: () =>
    inWarmHouse(bench, async (house) => {
      const { pid, lines } = house.producer;
      const before = rssMbOf(pid);
      const usage = watchUsage(house.watched());
      const started = performance.now();
      const made = await Promise.all(
        Array.from({ length: batchesAtOnce }, (_, at) =>
          house.client.submit({ handler, count: items, params: { ...params, start: at * items } }),
        ),
      );
      for (const { id } of made) await ended(house.client, id);
      const ms = performance.now() - started;
      const peak = usage.stop()['producer']!.rssMb;
      await sleep(restMs);
      const parallelism = lines('published').map((line) => Number(line['parallelism']));
      for (const { id } of made) faults.push(...(await countFaults(house, id, items)));
      return {
        'last result after ms': ms,
        'items/s': ((items * batchesAtOnce) / ms) * 1000,
        'MB producer before': before,
        'at the peak': peak,
        '10 s after': rssMbOf(pid),
        'parallelism before': parallelism[0]!,
        after: parallelism.at(-1)!,
      };
    }),
});

/** Counts and rows of a batch of which every item succeeds. */
async function countFaults({ client, sql }: House, id: string, items: number): Promise<string[]> {
  const { counts } = await client.getBatch(id);
  const [row] = await sql<{ rows: number }[]>`
    select count(*)::int as rows from results where batch = (select no from batches where id = ${id})`;
  const isGood = counts.succeeded === items && counts.failed === 0 && row!.rows === items;
  return isGood ? [] : [`${id}: ${JSON.stringify(counts)}, ${row!.rows} rows`];
}

/** And that each height has one. */
async function faultsOf(house: House, id: string, items: number): Promise<string[]> {
  const [row] = await house.sql<{ heights: number }[]>`
    select count(distinct (output->>'height')::int)::int as heights from results
    where batch = (select no from batches where id = ${id})`;
  const faults = await countFaults(house, id, items);
  return row!.heights === items ? faults : [...faults, `${id}: ${row!.heights} different heights`];
}

/** Of items of which a tenth fails, those that are counted as the wrong one. */
async function mixedFailures({ client, sql }: House, items: number): Promise<string[]> {
  const body = { handler: 'fail', count: items, params: { rate: 0.1 }, options: { maxAttempts: 1 } };
  const { id } = await client.submit(body);
  const { counts } = await ended(client, id);
  const [row] = await sql<{ good: number; bad: number }[]>`
    select count(*) filter (where status = 1)::int as good, count(*) filter (where status = 2)::int as bad
    from results where batch = (select no from batches where id = ${id})`;
  const { good, bad } = row!;
  const isGood = counts.succeeded === good && counts.failed === bad && bad > 0 && good + bad === items;
  return isGood ? [] : [`${id}: ${JSON.stringify(counts)}, ${good} succeeded and ${bad} failed rows`];
}

const of = ({ runs }: Measured, name: string): number => median(runs.map((figures) => figures[name]!));

interface Found {
  items: number;
  count: Measured;
  lines: Measured;
  atOnce: Measured;
  faults: readonly string[];
}

function verdictsOf({ items, count, lines, atOnce, faults }: Found): Verdict[] {
  const target = 'seed 2';
  const heights = figure(items);
  const [byCount, asLines] = [of(count, 'accepted in ms'), of(lines, 'accepted in ms')];
  const startsPerSecond = (items / byCount) * 1000;
  const [before, after] = [of(atOnce, 'parallelism before'), of(atOnce, 'after')];
  const [mbBefore, mbAfter] = [of(atOnce, 'MB producer before'), of(atOnce, '10 s after')];
  return [
    { target, asks: `${heights} heights accepted by count in < 2 s (P3)`, found: msText(byCount), ok: byCount < 2000 },
    { target, asks: `${heights} accepted as NDJSON in < 5 s (P3)`, found: msText(asLines), ok: asLines < 5000 },
    { target, asks: 'durable starts/s ≥ 200 000', found: figure(startsPerSecond), ok: startsPerSecond >= 200_000 },
    { target, asks: 'one result a height, failures apart', found: faults[0] ?? 'so it is', ok: faults.length === 0 },
    { target, asks: 'parallelism as before 8 batches', found: `${before}, ${after}`, ok: before === after },
    {
      target,
      asks: 'memory of the producer 10 s after 8 batches ≤ 1.25 × before',
      found: `${mbBefore} → ${mbAfter} MB`,
      ok: mbAfter <= 1.25 * mbBefore,
    },
  ];
}

const msText = (ms: number): string => `${figure(ms)} ms`;
