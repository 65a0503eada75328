import type { Batch } from '@bullpen/api';
import { countText, itemsText } from '../text/numbers.ts';
import { type Range, type Ranges, sizeOf } from './ranges.ts';
import type { Survey } from './survey.ts';

/** Ranges of one kind that are printed; `--json` has them all. */
const shownMax = 50;

/** `17–42 (26)`, or `99`. */
const rangeText = ([from, end]: Range): string =>
  end - from === 1 ? String(from) : `${from}–${end - 1} (${countText(end - from)})`;

function rangeLines(title: string, ranges: Ranges): string[] {
  if (ranges.length === 0) return [];
  const left = ranges.slice(shownMax);
  const more = `… and ${itemsText(left.length, 'range')} more (${countText(sizeOf(left))} heights): --json tells them all`;
  return [
    title,
    ...ranges.slice(0, shownMax).map((range) => `  ${rangeText(range)}`),
    ...(left.length > 0 ? [`  ${more}`] : []),
  ];
}

/** What was found, as lines: ranges by kind, and how many heights there are of each. */
export function surveyLines({ handler, chain }: { handler: string; chain: string }, survey: Survey): string[] {
  const { batches, bounds, missing, doubled, onTheirWay, single, nameless } = survey;
  const [from, end] = bounds;
  const heights = from < end ? `heights ${rangeText(bounds)}` : 'no heights';
  const lists = [
    ...rangeLines('Missing', missing),
    ...rangeLines('Doubled', doubled),
    ...rangeLines('On their way', onTheirWay),
  ];
  const count = (ranges: Ranges): string => countText(sizeOf(ranges));
  return [
    `${handler}, chain ${chain}: ${itemsText(batches, 'batch', 'batches')}, ${heights}`,
    ...lists,
    `One result each: ${count(single)} · missing: ${count(missing)} · doubled: ${count(doubled)} · on their way: ${count(onTheirWay)}`,
    ...(nameless > 0 ? [`${itemsText(nameless, 'item')} with no height in output or input`] : []),
  ];
}

export const submittedLines = (submitted: readonly Batch[], left: number): string[] => [
  ...submitted.map(({ id, counts }) => `Submitted: batch ${id}, ${itemsText(counts.total, 'height')}`),
  ...(left > 0 ? [`${itemsText(left, 'height')} more than one run submits: run it again`] : []),
];
