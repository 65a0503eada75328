import { runBacklog, uploadHeld } from '../kit/backlog.ts';
import { claimLines } from '../kit/claim-lines.ts';
import { type GroupLines, uploadGroups } from '../kit/client.ts';
import type { House } from '../kit/house.ts';
import { inHouse, workersText } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import { othersSeconds } from '../kit/others.ts';
import type { Bench, Figures, Measured, Report, Scenario, Variant, Verdict } from '../kit/scenario.ts';
import { figure, median } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';

const scenario: Scenario = {
  name: 'groups',
  title: 'Groups in order, on a backlog of inputs of about 100 bytes that was accepted before',
  targets: ['P5', 'P10'],
  run,
};
export default scenario;

const groups = 1000;
const ordered = '&groupBy=key&ordered=true';

async function run(bench: Bench): Promise<Report> {
  const { quick, items = quick ? 300_000 : 2_000_000 } = bench.asked;
  const counts = bench.asked.workers === undefined ? [1, 3] : [bench.asked.workers];
  const workers = bench.asked.workers ?? 3;
  const acks = await interleave(bench, [
    ...counts.flatMap((each) => [
      backlog(bench, `ack in order, ${workersText(each)}`, each, `ack${ordered}`, { items, groups }),
      backlog(bench, `inputs parsed, in order, ${workersText(each)}`, each, `look${ordered}`, { items, groups }),
      backlog(bench, `ack without groups, ${workersText(each)}`, each, 'ack', { items, groups }),
    ]),
    limits(bench, { items, groups }),
  ]);
  const some = quick ? 200_000 : 1_000_000;
  const echoes = await interleave(bench, [
    backlog(bench, 'no groups', workers, 'echo', { items: some, groups }),
    backlog(bench, 'groups', workers, 'echo&groupBy=key', { items: some, groups }),
    backlog(bench, 'ordered groups', workers, `echo${ordered}`, { items: some, groups }),
  ]);
  const others = { items: quick ? 20_000 : 100_000, groups };
  const hots = await interleave(bench, [
    besideHot(bench, 'alone', workers, others),
    besideHot(bench, `beside a group of ${figure(others.items)}`, workers, { ...others, hot: others.items }),
  ]);
  const many = { items: quick ? 34_000 : 136_000, groups: quick ? 11_000 : 44_000 };
  const manies = await interleave(bench, [
    backlog(
      bench,
      `ordered, ${figure(many.groups)} groups in ${figure(many.items)} items`,
      workers,
      `ack${ordered}`,
      many,
    ),
  ]);
  return {
    tables: [
      {
        title: `Nothing but acknowledged: 12 partitions, ${figure(items)} items, ${figure(groups)} groups`,
        rows: acks,
      },
      { title: `echo, ${figure(some)} items, ${workersText(workers)}`, rows: echoes },
      {
        title: `${figure(others.items)} items of ${figure(groups)} groups that wait 1 ms each, ${workersText(workers)}`,
        rows: hots,
      },
      { title: `Many small groups, ${workersText(workers)}`, rows: manies },
    ],
    verdicts: verdictsOf({ acks, echoes, hots }),
    remarks: [],
  };
}

const backlog = (bench: Bench, label: string, workers: number, query: string, lines: GroupLines): Variant => ({
  label,
  measure: () =>
    inHouse(bench, { workers }, async (house) => {
      await warmBy(house, query);
      const { itemsPerSecond, seconds, usage } = await runBacklog(house, `handler=${query}`, lines);
      const usOf = (name: string): number =>
        Object.entries(usage).reduce((sum, [who, { cpuSeconds }]) => sum + (who.startsWith(name) ? cpuSeconds : 0), 0) *
        (1e6 / lines.items);
      const mb = Object.entries(usage).map(([name, { rssMb }]) => (name.startsWith('worker') ? rssMb : 0));
      return {
        'items/s': itemsPerSecond,
        seconds,
        'µs worker': usOf('worker'),
        'µs postgres': usOf('postgres'),
        'MB worker': Math.max(...mb),
      };
    }),
});

/** New processes run their first items in the interpreter. */
const warmBy = (house: House, query: string): Promise<unknown> =>
  runBacklog(house, `handler=${query}`, { items: 50_000 * house.workers.length, groups });

/** What no worker can be faster than: the server that answers the inputs, and the text that becomes values. */
const limits = (bench: Bench, lines: GroupLines): Variant => ({
  label: 'the limits: claims alone on one connection, JSON.parse of what they answer',
  measure: () =>
    inHouse(bench, { workers: 0 }, async (house): Promise<Figures> => {
      const { id } = await uploadGroups(`${house.url}/v1/batches?handler=ack${ordered}`, lines);
      const { claimed, parsed } = await claimLines(house, id);
      return { 'claimed/s': claimed, 'parsed/s': parsed };
    }),
});

const besideHot = (bench: Bench, label: string, workers: number, lines: GroupLines): Variant => ({
  label,
  measure: () =>
    inHouse(bench, { workers }, async (house) => {
      await warmBy(house, `sleep${ordered}`);
      const { id, release } = await uploadHeld(house, `handler=sleep${ordered}`, lines);
      await release();
      const seconds = await othersSeconds(house, id, lines);
      return { 'items/s': lines.items / seconds, seconds };
    }),
});

const rateOf = ({ runs }: Measured, name = 'items/s'): number => median(runs.map((figures) => figures[name] ?? 0));

function verdictsOf({ acks, echoes, hots }: Record<'acks' | 'echoes' | 'hots', readonly Measured[]>): Verdict[] {
  const best = Math.max(...acks.filter(({ label }) => label.startsWith('ack in order')).map((row) => rateOf(row)));
  const [off, unordered, inOrder] = echoes.map((row) => rateOf(row));
  const [alone, beside] = hots.map((row) => rateOf(row));
  return [
    { target: 'P5', asks: 'ack over 12 ordered partitions ≥ 1 000 000/s', found: figure(best), ok: best >= 1_000_000 },
    factor('P10', 'groups: ≥ 0.9 ×', unordered! / off!, 0.9),
    factor('P10', 'groups in order: ≥ 0.9 ×', inOrder! / off!, 0.9),
    factor('P10', 'other groups beside a large one: ≥ 0.9 ×', beside! / alone!, 0.9),
  ];
}
