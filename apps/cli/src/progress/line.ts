import type { LineForm } from './display.ts';
import { asTyped } from '../text/runner.ts';
import { countText, durationText, itemsText, percentText, rateText } from '../text/numbers.ts';

/** What is shown of a batch while it runs. */
export interface ProgressView {
  state: string;
  done: number;
  total: number;
  failed: number;
  /** Recent items a second; null while it is not known. */
  itemsPerSecond: number | null;
  /** Live workers; null while it is not known. */
  workers: number | null;
  /** Why nothing of it starts; null: it goes on. */
  waits: string | null;
  /** False for an open batch, whose end nobody knows. */
  sealed: boolean;
}

const BAR = { min: 10, max: 30, full: '█', empty: '░' };

/** The line for a terminal of that many columns: what does not fit makes the bar shorter, then is cut. */
export const barLine = (view: ProgressView, columns: number): string => drawBar(view, progressWords(view), columns);

/** Percent, bar and words. */
export function drawBar({ done, total }: { done: number; total: number }, words: string, columns: number): string {
  const percent = percentText(done, total).padStart(4);
  // One column stays free: a character in the last one makes some terminals wrap.
  const room = columns - 1 - percent.length - words.length - 4;
  const size = Math.min(BAR.max, Math.max(BAR.min, room));
  const full = total === 0 ? size : Math.floor((done / total) * size);
  const bar = BAR.full.repeat(full) + BAR.empty.repeat(size - full);
  return `${percent}  ${bar}  ${words}`.slice(0, Math.max(0, columns - 1));
}

/** The same for a log: no bar. */
export const plainLine = (view: ProgressView): string =>
  `${percentText(view.done, view.total).padStart(4)}  ${progressWords(view)}`;

export const batchLine: LineForm<ProgressView> = {
  bar: barLine,
  plain: plainLine,
  isLast: ({ state }) => state !== 'running',
};

/** `45,000/100,000 · 12 failed · 12,345 items/s · 4.5 s left · 3 workers`. */
function progressWords(view: ProgressView): string {
  const { state, done, total, failed, workers } = view;
  const words = [`${countText(done)}/${countText(total)}`];
  if (failed > 0) words.push(`${countText(failed)} failed`);
  if (view.waits !== null) words.push(asTyped(view.waits));
  else if (state !== 'running') words.push(state);
  // In place of a speed, since nothing moves.
  else if (workers === 0) words.push(asTyped('no worker runs: pnpm worker'));
  else words.push(...speedWords(view));
  return words.join(' · ');
}

function speedWords({ done, total, itemsPerSecond, sealed, workers }: ProgressView): string[] {
  if (itemsPerSecond === null) return [];
  const words = [`${rateText(itemsPerSecond)} items/s`];
  if (sealed && itemsPerSecond > 0 && done < total) {
    words.push(leftText(((total - done) * 1000) / itemsPerSecond));
  }
  if (workers !== null) words.push(itemsText(workers, 'worker'));
  return words;
}

export const leftText = (ms: number): string => (ms < 1000 ? '< 1 s left' : `${durationText(ms)} left`);
