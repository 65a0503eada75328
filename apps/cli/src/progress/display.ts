import cliProgress from 'cli-progress';
import type { Terminal } from '../context.ts';
import { barLine, plainLine, type ProgressView } from './line.ts';

export interface ProgressDisplay {
  /** How often it wants to hear, in milliseconds. */
  everyMs: number;
  show(view: ProgressView): void;
  /** Ends the line. May be called again. */
  close(): void;
}

/** A bar that is drawn over and over on a terminal; elsewhere a line now and then. */
export const openDisplay = (stream: Terminal): ProgressDisplay => (stream.isTTY ? bar(stream) : lines(stream));

function bar(stream: Terminal): ProgressDisplay {
  let shown: ProgressView | null = null;
  const single = new cliProgress.SingleBar({
    stream,
    format: () => (shown === null ? '' : barLine(shown, stream.columns || 80)),
    // Our own lines are never longer than the terminal, so its wrapping may stay on: a kill at any moment leaves it as it was.
    linewrap: true,
  });
  return {
    everyMs: 250,
    show(view) {
      const isFirst = shown === null;
      shown = view;
      if (isFirst) single.start(view.total, view.done);
      else single.update(view.done);
    },
    close() {
      if (shown !== null) single.stop();
    },
  };
}

/** Few enough for a log, often enough to see that it lives. The last word is always written. */
const LINE_EVERY_MS = 2000;

function lines(stream: Terminal): ProgressDisplay {
  let written = '';
  let writtenAt = -Infinity;
  return {
    everyMs: LINE_EVERY_MS,
    show(view) {
      const now = performance.now();
      const line = plainLine(view);
      // A timer may come a little early.
      const due = view.state !== 'running' || now - writtenAt >= LINE_EVERY_MS - 50;
      if (!due || line === written) return;
      stream.write(`${line}\n`);
      written = line;
      writtenAt = now;
    },
    close() {},
  };
}
