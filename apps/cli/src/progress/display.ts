import cliProgress from 'cli-progress';
import type { Terminal } from '../context.ts';
import type { ProgressView } from './line.ts';

/** How something that goes on is put into a line. */
export interface LineForm<View> {
  bar(view: View, columns: number): string;
  /** For a log: no bar. */
  plain(view: View): string;
  /** The last word is always written. */
  isLast(view: View): boolean;
}

export interface ProgressDisplay<View = ProgressView> {
  /** How often it wants to hear, in milliseconds. */
  everyMs: number;
  show(view: View): void;
  /** Ends the line. May be called again. */
  close(): void;
}

/** A bar that is drawn over and over on a terminal; elsewhere a line now and then. */
export const openDisplay = <View>(stream: Terminal, form: LineForm<View>): ProgressDisplay<View> =>
  stream.isTTY ? bar(stream, form) : lines(stream, form);

function bar<View>(stream: Terminal, form: LineForm<View>): ProgressDisplay<View> {
  let shown: View | null = null;
  const single = new cliProgress.SingleBar({
    stream,
    format: () => (shown === null ? '' : form.bar(shown, stream.columns || 80)),
    // Our own lines are never longer than the terminal, so its wrapping may stay on: a kill at any moment leaves it as it was.
    linewrap: true,
  });
  return {
    everyMs: 250,
    show(view) {
      const isFirst = shown === null;
      shown = view;
      // The line is our own: no numbers of its are used.
      if (isFirst) single.start(1, 0);
      else single.update(0);
    },
    close() {
      if (shown !== null) single.stop();
    },
  };
}

/** Few enough for a log, often enough to see that it lives. The last word is always written. */
const LINE_EVERY_MS = 2000;

function lines<View>(stream: Terminal, form: LineForm<View>): ProgressDisplay<View> {
  let written = '';
  let writtenAt = -Infinity;
  return {
    everyMs: LINE_EVERY_MS,
    show(view) {
      const now = performance.now();
      const line = form.plain(view);
      // A timer may come a little early.
      const due = form.isLast(view) || now - writtenAt >= LINE_EVERY_MS - 50;
      if (!due || line === written) return;
      stream.write(`${line}\n`);
      written = line;
      writtenAt = now;
    },
    close() {},
  };
}
