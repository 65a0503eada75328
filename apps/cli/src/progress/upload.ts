import type { Terminal } from '../context.ts';
import { bytesText, percentText } from '../text/numbers.ts';
import { type LineForm, openDisplay } from './display.ts';
import { drawBar, leftText } from './line.ts';
import { createRate } from './rate.ts';

/** What is shown of a file while it is sent, in bytes. */
export interface UploadView {
  done: number;
  /** Null where nobody knows, as of stdin. */
  total: number | null;
  bytesPerSecond: number | null;
  isOver: boolean;
}

export const uploadLine: LineForm<UploadView> = {
  bar: (view, columns) =>
    view.total === null
      ? wordsOf(view).slice(0, Math.max(0, columns - 1))
      : drawBar({ done: view.done, total: view.total }, wordsOf(view), columns),
  plain: (view) =>
    view.total === null ? wordsOf(view) : `${percentText(view.done, view.total).padStart(4)}  ${wordsOf(view)}`,
  isLast: ({ isOver }) => isOver,
};

/** `12 MB of 45 MB · 5.6 MB/s · 6 s left`. */
function wordsOf({ done, total, bytesPerSecond, isOver }: UploadView): string {
  const words = [total === null ? bytesText(done) : `${bytesText(done)} of ${bytesText(total)}`];
  if (isOver) return [...words, 'sent'].join(' · ');
  if (done === total) return [...words, 'waiting for the answer'].join(' · ');
  if (bytesPerSecond === null) return words.join(' · ');
  words.push(`${bytesText(bytesPerSecond)}/s`);
  if (total !== null && bytesPerSecond > 0) words.push(leftText(((total - done) * 1000) / bytesPerSecond));
  return words.join(' · ');
}

export interface Upload {
  /** The same bytes, counted. */
  count(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>;
  /** Ends the line. */
  close(): void;
}

/** Shows how far an upload is. One that is over at once shows nothing. */
export function openUpload(stream: Terminal, total: number | null): Upload {
  const display = openDisplay(stream, uploadLine);
  const rate = createRate();
  let [done, sentAll, shown] = [0, false, false];
  const show = (isOver: boolean): void => {
    rate.add(performance.now(), done);
    display.show({ done, total, bytesPerSecond: rate.perSecond(), isOver });
    shown = true;
  };
  const timer = setInterval(() => show(false), display.everyMs);
  return {
    async *count(body) {
      for await (const part of body) {
        yield part;
        done += part.length;
      }
      sentAll = true;
    },
    close() {
      clearInterval(timer);
      if (shown && sentAll) show(true);
      display.close();
    },
  };
}

/** For scripts: nothing is shown. */
export const silentUpload: Upload = {
  count: async function* (body) {
    yield* body;
  },
  close() {},
};
