import type { House } from '../kit/house.ts';
import { inHouse, params, warm } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Figures, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { median } from '../kit/stats.ts';

const scenario: Scenario = {
  name: 'fairness',
  title: 'A small batch behind a large one',
  targets: ['fair'],
  takes: ['workers'],
  run,
};
export default scenario;

/** Items that are over at once, and items that wait. The large batch is far from its end when the small one has come to its. */
const works = {
  'items of 3 µs': { handler: 'echo', params, items: { whole: 5_000_000, quick: 2_000_000 } },
  'items of 20 ms': { handler: 'sleep', params: { ms: 20 }, items: { whole: 5_000_000, quick: 1_000_000 } },
} as const;
type Work = (typeof works)[keyof typeof works];

const smallItems = 1000;
/** Small batches of one run, one after the other. */
const batches = 5;
/** The large one has been served for so long when the first of them comes. */
const headStartMs = 3000;

async function run(bench: Bench): Promise<Report> {
  const tables: Report['tables'] = [];
  const verdicts: Verdict[] = [];
  for (const [title, work] of Object.entries(works)) {
    const rows = await interleave(bench, [of(bench, work, false), of(bench, work, true)]);
    tables.push({ title, rows });
    verdicts.push(...judge(title, rows));
  }
  return { tables, verdicts, remarks: [] };
}

const of = (bench: Bench, work: Work, isBehind: boolean): Variant => ({
  label: isBehind ? 'behind a large batch' : 'alone',
  measure: () =>
    inHouse(bench, { workers: bench.asked.workers ?? 3 }, async (house) => {
      await warm(house, work.handler, work.params);
      if (isBehind) await submitLarge(bench, house, work);
      const took: Figures[] = [];
      for (let n = 0; n < batches; n += 1) took.push(await takeSmall(house, work));
      return { 'ms to start': medianOf(took, 'start'), 'ms to end': medianOf(took, 'end') };
    }),
});

async function submitLarge({ asked }: Bench, { client }: House, { handler, params, items }: Work): Promise<void> {
  const count = asked.quick ? items.quick : items.whole;
  const { id } = await client.submit({ handler, count, params });
  const from = performance.now();
  for (let done = 0; done === 0 || performance.now() - from < headStartMs;)
    done = (await client.getBatch(id)).counts.succeeded;
}

/** From the request to the first publication, and to the moment at which the client knows of the end. */
async function takeSmall({ client }: House, { handler, params }: Work): Promise<Figures> {
  const from = performance.now();
  const { id } = await client.submit({ handler, count: smallItems, params });
  const batch = await client.getBatch(id, { waitSeconds: 60 });
  if (batch.state !== 'completed')
    throw new Error(`1 000 items are not done after a minute: ${JSON.stringify(batch.counts)}`);
  const end = performance.now() - from;
  return { start: Date.parse(batch.startedAt!) - Date.parse(batch.createdAt), end };
}

const medianOf = (took: readonly Figures[], name: string): number =>
  Math.round(median(took.map((each) => each[name]!)));

function judge(title: string, [alone, behind]: readonly Measured[]): Verdict[] {
  const of = (measured: Measured, name: string): number => median(measured.runs.map((figures) => figures[name]!));
  const start = of(behind!, 'ms to start');
  const times = of(behind!, 'ms to end') / of(alone!, 'ms to end');
  return [
    { target: 'fair', asks: `1 000 ${title} behind 5 million start in < 1 s`, found: `${start} ms`, ok: start < 1000 },
    { target: 'fair', asks: `1 000 ${title} behind 5 million end within 3 × alone`, found: `${times.toFixed(2)} ×`, ok: times <= 3 },
  ]; // prettier-ignore
}
