import { describe, expect, test } from 'vitest';
import { type Kept, newest } from '../kit/kept.ts';
import { plots } from '../kit/plots.ts';
import type { Measured } from '../kit/scenario.ts';

const row = (label: string, ...rates: number[]): Measured => ({
  label,
  runs: rates.map((rate) => ({ 'items/s': rate })),
});

const kept = (name: string, at: string, tables: Kept['tables'] = []): Kept => ({
  name,
  title: `about ${name}`,
  at,
  asked: { items: undefined, workers: undefined, runs: 3, quick: false },
  machine: { cpu: 'a cpu × 2', memory: '24 GiB', postgresql: '18.4', node: '20.20.2' },
  tables,
  verdicts: [],
  remarks: [],
});

const specOf = (scenario: string, tables: Kept['tables']): string =>
  JSON.stringify(
    plots.find((plot) => plot.scenario === scenario)!.spec(kept(scenario, '2026-01-02T03:04:05Z', tables)),
  );

describe('what is drawn', () => {
  test('is the newest of each scenario', () => {
    const found = newest([kept('rate', '2026-01-02'), kept('rate', '2026-02-01'), kept('cost', '2025-01-01')]);
    expect([...found.values()].map(({ name, at }) => [name, at])).toEqual([
      ['rate', '2026-02-01'],
      ['cost', '2025-01-01'],
    ]);
  });

  test('says the machine and the day', () => {
    const spec = specOf('distance', [{ title: '', rows: [row('0 ms away', 1)] }]);
    expect(spec).toContain('"a cpu × 2 · 24 GiB"');
    expect(spec).toContain('"PostgreSQL 18.4 · Node 20.20.2 · median of 3 runs · 2026-01-02"');
  });

  test('is the median of the runs, and no row that has no rate', () => {
    const rows = [row('Bullpen, 3 workers', 100, 900, 300), { label: 'Redis', runs: [{ 'commands/s': 5 }] }];
    const spec = specOf('rate', [{ title: '', rows }]);
    expect(spec).toContain('"rate":300');
    expect(spec).not.toContain('Redis');
  });

  test('has a line for as many times as workers, from the rate of one', () => {
    const cpu = [row('Bullpen, 1 worker', 10), row('plain BullMQ, 3 workers', 20)];
    const waits = [row('1 worker', 7), row('3 workers', 20), row('3 workers, one at half speed', 15)];
    const spec = specOf('scaling', [
      { title: 'cpu', rows: cpu },
      { title: 'waits', rows: waits },
    ]);
    expect(spec).toContain('{"series":"workers × the rate of one","x":3,"rate":21}');
    expect(spec).toContain('{"series":"plain BullMQ","x":3,"rate":20}');
    expect(spec).not.toContain('half speed');
  });

  test('takes what an item costs from the name of the row', () => {
    const spec = specOf('cost', [{ title: '', rows: [row('1000 µs, 1 worker', 5), row('0 µs, 3 workers', 9)] }]);
    expect(spec).toContain('{"series":"3 workers","x":0,"rate":9},{"series":"1 worker","x":1000,"rate":5}');
  });
});
