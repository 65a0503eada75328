import { createHash } from 'node:crypto';
import type { Batch } from '@bullpen/api';
import { perSecond, tookMs } from '../batch.ts';
import { countText, itemsText, rateText, shareTexts } from '../text/numbers.ts';
import { summaryLines } from '../text/summary.ts';
import { facts, shortText, table } from '../text/table.ts';
import type { DemoOutcome } from './run-batch.ts';

/** What the demo tells at its end, for a person. */
export function endLines({ batch, shares, samples }: DemoOutcome, columns: number): string[] {
  const { counts } = batch;
  const took = tookMs(batch) ?? 1;
  const told = shares.reduce((sum, share) => sum + share.items, 0);
  const percents = shareTexts(shares.map(({ items }) => items));
  const drawn = summaryLines(batch, columns - 2);
  return [
    '',
    ...facts([
      ['items', countText(counts.total)],
      ['succeeded', countText(counts.succeeded)],
      ['failed', countText(counts.failed)],
      ['seconds', (took / 1000).toFixed(2)],
      ['items/s', rateText(perSecond(counts.total, took))],
      ...hashFacts(batch),
    ]).map((line) => `  ${line}`),
    '',
    ...table<DemoOutcome['shares'][number] & { percent: string }>(
      [
        { title: itemsText(shares.length, 'worker'), text: ({ worker }) => worker },
        { title: 'items', align: 'right', text: ({ items }) => countText(items) },
        { title: 'share', align: 'right', text: ({ percent }) => percent },
      ],
      shares.map((share, at) => ({ ...share, percent: percents[at]! })),
    ).map((line) => `  ${line}`),
    ...(told > counts.total ? ['  with what they did of other batches meanwhile'] : []),
    '',
    ...(drawn.length > 0 ? [...drawn.map((line) => `  ${line}`), ''] : []),
    ...(samples.length > 0 ? ['  the first results'] : []),
    ...samples.map((sample) => `    ${shortText(JSON.stringify(sample), 150)}`),
    ...(samples.length > 0 ? [''] : []),
  ];
}

/** The summary depends on seed and items alone, not on workers, chunks or kills: two runs are compared by this. */
const hashFacts = ({ summary, options }: Batch): [string, string][] =>
  summary === null ? [] : [['hash', `${hashOf(summary)} of the summary, with seed ${options.seed}`]];

const hashOf = (summary: unknown): string =>
  createHash('sha256').update(JSON.stringify(summary)).digest('hex').slice(0, 16);

/** The same for a script. */
export function summaryJson({ batch, shares, samples }: DemoOutcome): Record<string, unknown> {
  const took = tookMs(batch) ?? 1;
  return {
    batch,
    ...(batch.summary !== null && { hash: hashOf(batch.summary) }),
    durationMs: took,
    itemsPerSecond: Math.round(perSecond(batch.counts.total, took)),
    workers: shares,
    samples,
  };
}

export const nextLines = (id: string, serving: boolean): string[] => [
  'Where to look next',
  ...(serving ? [] : ['  npm start                      serve it: dashboard, Bull Board, REST']),
  `  pnpm bullpen results ${id}${serving ? '' : '   (while npm start runs)'}`,
  '  pnpm bullpen --help            all commands; docs are in README.md and docs/',
];

export const stayLines = (url: string): string[] => [
  '',
  `Bullpen goes on at ${url} until Ctrl-C`,
  `  Dashboard    ${url}/`,
  `  Bull Board   ${url}/queues`,
  `  REST         ${url}/v1/batches`,
  '  More speed   pnpm worker   in another terminal, then pnpm bullpen submit --handler simulate --count 100000 --watch',
  '',
];
