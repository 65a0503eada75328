import type { Kept } from './kept.ts';
import type { Measured } from './scenario.ts';
import { figure, median } from './stats.ts';

/** A drawing: a file of docs/plots, the scenario whose figures it shows, and how. */
export interface Plot {
  file: string;
  scenario: string;
  spec: (kept: Kept) => object;
}

/** Read well on white and on black. */
const [ours, others, text] = ['#3b82c4', '#9a9a9a', '#808890'];
const rate = 'items/s';

export const plots: readonly Plot[] = [
  { file: 'rate.svg', scenario: 'rate', spec: bars },
  { file: 'scaling.svg', scenario: 'scaling', spec: byWorkers },
  { file: 'cost.svg', scenario: 'cost', spec: byCost },
  { file: 'distance.svg', scenario: 'distance', spec: bars },
];

const rateOf = ({ runs }: Measured): number => Math.round(median(runs.map((figures) => figures[rate] ?? 0)));
const workersOf = (label: string): number => Number(/(\d+) workers?$/.exec(label)?.[1]);

/** What all have in common: the words above, with the machine and the day. */
function sheet({ title, machine, at, asked }: Kept, rest: object): object {
  const runs = asked.runs === 1 ? '1 run' : `median of ${asked.runs} runs`;
  // Two lines: the width of one would be estimated far too large.
  const subtitle = [
    `${machine['cpu']} · ${machine['memory']}`,
    `PostgreSQL ${machine['postgresql']} · Node ${machine['node']} · ${runs} · ${at.slice(0, 10)}`,
  ];
  return {
    background: 'transparent',
    padding: 12,
    title: { text: title, subtitle, anchor: 'start', offset: 14 },
    config: {
      font: 'system-ui, sans-serif',
      view: { stroke: null },
      title: { color: text, subtitleColor: text, fontSize: 14, subtitleFontSize: 11, fontWeight: 600 },
      axis: { labelColor: text, titleColor: text, gridColor: text, gridOpacity: 0.2, domainColor: text, tickColor: text, titleFontWeight: 400 }, // prettier-ignore
      legend: { labelColor: text, titleColor: text, titleFontWeight: 400 },
      text: { color: text },
    },
    ...rest,
  };
}

const field = (name: string, type: 'quantitative' | 'ordinal' | 'nominal', more: object = {}): object => ({
  field: name,
  type,
  ...more,
});

/** A bar for each row that has a rate, with its figure: ours in blue, the rest in grey. */
function bars(kept: Kept): object {
  const values = kept.tables[0]!.rows.filter(({ runs }) => runs.some((figures) => rate in figures)).map((row) => ({
    name: row.label,
    rate: rateOf(row),
    figure: figure(rateOf(row)),
    isOurs: isOurs(row.label),
  }));
  const y = field('name', 'nominal', { sort: null, title: null, axis: { labelLimit: 320, ticks: false } });
  const x = field('rate', 'quantitative', { title: rate, axis: { format: '~s', tickCount: 5 } });
  const color = { condition: { test: 'datum.isOurs', value: ours }, value: others };
  return sheet(kept, {
    width: 420,
    height: { step: 22 },
    data: { values },
    encoding: { y, x },
    layer: [
      { mark: { type: 'bar', height: 14 }, encoding: { color } },
      { mark: { type: 'text', align: 'left', dx: 5, color: text }, encoding: { text: field('figure', 'nominal') } },
    ],
  });
}

/** Others are called by their names, our rows also by how far away a worker is. */
const isOurs = (label: string): boolean => /^(Bullpen|\d)/.test(label);

interface Line {
  series: string;
  x: number;
  rate: number;
}

const lines = (values: readonly Line[], x: object, y: object = {}): object => ({
  width: 250,
  height: 220,
  data: { values },
  mark: { type: 'line', point: { filled: true, size: 50 } },
  encoding: {
    x,
    y: field('rate', 'quantitative', { title: rate, axis: { format: '~s', tickCount: 5 }, ...y }),
    color: field('series', 'nominal', {
      title: null,
      sort: null,
      scale: { range: [ours, others] },
      legend: { orient: 'bottom', labelLimit: 260 },
    }),
  },
});

/** Items that take cpu on the left, those that wait on the right: beside a line that says "as many times as workers". */
function byWorkers(kept: Kept): object {
  const [cpu, waits] = kept.tables.map(({ rows }) => rows);
  const x = field('x', 'quantitative', {
    title: 'workers',
    axis: { tickMinStep: 1, tickCount: 5 },
    scale: { zero: true },
  });
  const ofCpu = cpu!.map((row) => ({ series: row.label.split(',')[0]!, x: workersOf(row.label), rate: rateOf(row) }));
  const ofWaits = waits!
    .filter(({ label }) => /^\d+ workers?$/.test(label))
    .map((row) => ({ series: 'Bullpen', x: workersOf(row.label), rate: rateOf(row) }));
  const one = ofWaits.find(({ x }) => x === 1)!.rate;
  const linear = ofWaits.map((each) => ({ ...each, series: 'workers × the rate of one', rate: one * each.x }));
  const titled = (title: string, spec: object): object => ({
    title: { text: title, fontSize: 12, fontWeight: 400 },
    ...spec,
  });
  return sheet(kept, {
    hconcat: [
      titled(kept.tables[0]!.title, lines(ofCpu, x)),
      titled(kept.tables[1]!.title, lines([...ofWaits, ...linear], x)),
    ],
    resolve: { scale: { color: 'independent' } },
  });
}

function byCost(kept: Kept): object {
  const values = kept.tables[0]!.rows.map((row) => ({
    series: row.label.split(', ')[1]!,
    x: Number.parseInt(row.label, 10),
    rate: rateOf(row),
  }));
  // Three workers in blue: they come first.
  const sorted = [...values].sort((a, b) => b.series.localeCompare(a.series) || a.x - b.x);
  const x = field('x', 'ordinal', { title: 'cpu of an item in µs', axis: { labelAngle: 0 } });
  return sheet(kept, { ...lines(sorted, x, { scale: { type: 'log' } }), width: 420 });
}
