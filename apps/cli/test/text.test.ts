import type { Batch } from '@bullpen/api';
import { describe, expect, test } from 'vitest';
import { batchFacts, waitsText } from '../src/text/batch.ts';
import {
  agoText,
  countText,
  durationText,
  itemsText,
  percentText,
  rangesText,
  rateText,
  shareTexts,
} from '../src/text/numbers.ts';
import { forNpm } from '../src/text/runner.ts';
import { summaryLines } from '../src/text/summary.ts';
import { facts, shortText, table } from '../src/text/table.ts';
import { batchId, batchOf } from './small-server.ts';

describe('numbers', () => {
  test.each([
    [0, '0 ms'],
    [420.4, '420 ms'],
    [4200, '4.2 s'],
    [9990, '10 s'],
    [59_400, '59 s'],
    [59_600, '1 min 00 s'],
    [185_000, '3 min 05 s'],
    [3_599_900, '1 h 00 min'],
    [7_500_000, '2 h 05 min'],
    [273_600_000, '3 d 4 h'],
  ])('a duration of %d ms reads %s', (ms, text) => {
    expect(durationText(ms)).toBe(text);
  });

  test('counts are grouped by thousands, and one item is not one items', () => {
    expect(countText(1_234_567)).toBe('1,234,567');
    expect([0, 1, 2].map((count) => itemsText(count, 'worker'))).toEqual(['0 workers', '1 worker', '2 workers']);
  });

  test('a slow rate keeps a decimal', () => {
    expect([0, 0.25, 9.5, 12_345.6].map(rateText)).toEqual(['0', '0.3', '9.5', '12,346']);
  });

  test('a batch shows 100% only when all of it is done', () => {
    expect(percentText(99_999, 100_000)).toBe('99%');
    expect(percentText(100_000, 100_000)).toBe('100%');
    expect(percentText(0, 0)).toBe('100%');
  });

  test.each([
    [
      [1, 1, 1],
      ['34%', '33%', '33%'],
    ],
    [
      [30, 31, 38],
      ['30%', '31%', '39%'],
    ],
    [[5], ['100%']],
    [
      [999, 1],
      ['100%', '0%'],
    ],
    [
      [0, 0],
      ['–', '–'],
    ],
  ])('shares of %j sum to 100%%', (parts, texts) => {
    expect(shareTexts(parts)).toEqual(texts);
  });

  test('a clock that is ahead of ours does not make a time lie in the future', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(agoText('2026-01-01T00:00:01Z', now)).toBe('0 ms ago');
    expect(agoText('2025-12-31T23:59:18Z', now)).toBe('42 s ago');
    expect(agoText(null, now)).toBe('–');
  });
});

describe('tables', () => {
  test('columns are aligned, numbers to the right, and no line ends in spaces', () => {
    const rows = [
      { name: 'échо', items: '5', note: 'x' },
      { name: 'simulate', items: '1,000', note: '' },
    ];
    const lines = table(
      [
        { title: 'NAME', text: ({ name }) => name },
        { title: 'ITEMS', align: 'right', text: ({ items }) => items },
        { title: 'NOTE', text: ({ note }) => note },
      ],
      rows,
    );
    expect(lines).toEqual(['NAME      ITEMS  NOTE', 'échо          5  x', 'simulate  1,000']);
  });

  test('facts stand in two columns', () => {
    expect(
      facts([
        ['state', 'running'],
        ['', '3 pending'],
      ]),
    ).toEqual(['state  running', '       3 pending']);
  });

  test('a foreign text takes one line and cannot drive the terminal', () => {
    expect(shortText('a\n\u001b[31mb', 10)).toBe('a [31mb');
    expect(shortText('abcdefgh', 5)).toBe('abcd…');
  });

  test('partitions read as ranges', () => {
    expect(rangesText([7, 0, 1, 2, 9, 10])).toBe('0-2,7,9-10');
    expect(rangesText([])).toBe('–');
  });
});

describe('a batch', () => {
  const batch = (changes: object): Batch => batchOf({ ...changes }) as unknown as Batch;
  const now = Date.parse('2026-01-01T00:00:00Z');
  const later = '2026-01-01T18:00:00.000Z';

  test('says when it starts, and at what it pauses', () => {
    const options = { notBefore: later, maxFailures: 1200, maxFailureRate: 0.07, canary: 1000, keepResults: 'failed' };
    const lines = batchFacts(batch({ state: 'running', options }), now).join('\n');
    expect(lines).toContain(`starts   not before ${later}`);
    expect(lines).toContain('pauses   at 1,200 failures; above 7% failures; after a canary of 1,000 items');
    expect(lines).toContain('keeps    failed results only');
  });

  test('that is watched says why nothing of it starts', () => {
    expect(waitsText(batch({ state: 'running', options: { notBefore: later } }), now)).toBe(`starts ${later}`);
    expect(waitsText(batch({ state: 'running', options: { notBefore: later } }), now + 86_400_000)).toBeNull();
    expect(waitsText(batch({ state: 'paused', stateReason: 'canary' }), now)).toBe(
      `paused (canary): pnpm bullpen resume ${batchId}`,
    );
    expect(waitsText(batch({ state: 'completed', options: { notBefore: later } }), now)).toBeNull();
  });
});

describe('a summary', () => {
  const points = { mean: 1, p5: 1, p50: 1, p95: 1 };
  const teams = [0, 0.5, 1].map((winRate, at) => ({
    name: `T${at}`,
    strategy: 'best-points-per-hour',
    winRate,
    points,
  }));

  const linesOf = (summary: unknown, columns: number) => summaryLines({ summary, summaryError: null }, columns);

  test.each([60, 80, 120, 300])('is drawn within %d columns, the bars as long as there is room', (columns) => {
    const lines = linesOf({ teams }, columns);
    for (const line of lines) expect(line.length).toBeLessThan(columns);
    const bars = lines.slice(1).map((line) => /[█░]+/.exec(line)![0]);
    const size = bars[0]!.length;
    expect(bars).toEqual(['░'.repeat(size), '█'.repeat(size / 2) + '░'.repeat(size / 2), '█'.repeat(size)]);
    if (columns === 300) expect(size).toBe(30);
  });

  test('of another shape is shown as JSON, cut where it is long, and none is nothing', () => {
    expect(linesOf({ teams: [{ name: 'T' }] }, 80).join('')).toBe('{  "teams": [    {      "name": "T"    }  ]}');
    expect(linesOf(7, 80)).toEqual(['7']);
    expect(linesOf(null, 80)).toEqual([]);
    expect(linesOf(Array(100).fill(1), 80)).toHaveLength(41);
    expect(linesOf({ text: '\u001b[31m' }, 80).join('')).not.toContain('\u001b');
    const failed = { summary: null, summaryError: 'thirteen\u001b[31m' };
    expect(summaryLines(failed, 80)).toEqual([expect.stringMatching(/^No summary: thirteen/)]);
    expect(summaryLines(failed, 80).join('')).not.toContain('\u001b');
  });
});

describe('asTyped', () => {
  test('spells commands for npm where pnpm is not the runner', () => {
    expect(forNpm('pnpm bullpen list | head')).toBe('npm run -s bullpen -- list | head');
    expect(forNpm('pnpm worker --scale 4, or pnpm worker')).toBe('npm run worker -- --scale 4, or npm run worker');
  });
});
