import { createClient, type Batch } from '@bullpen/api';
import { readSettings } from '@bullpen/runtime';
import { printJson, printLines, type Context } from '../context.ts';
import { exitCode } from '../failure.ts';
import { openDisplay } from '../progress/display.ts';
import { batchLine } from '../progress/line.ts';
import { countText, itemsText } from '../text/numbers.ts';
import { doneOf } from '../batch.ts';
import { runBatch, type DemoOutcome } from './run-batch.ts';
import { endLines, nextLines, summaryJson } from './summary.ts';

export interface DemoTerms {
  items: number;
  workers: number;
  handler: string;
  seed: number;
  chunkSize?: number;
  stay?: boolean;
  json?: boolean;
}

export interface Story {
  print: (...lines: string[]) => void;
  /** Runs the batch on the producer at `url`; `onBar` hears when the bar takes the terminal and when it leaves. */
  run: (url: string, onBar?: (isThere: boolean) => void, signal?: AbortSignal) => Promise<DemoOutcome>;
  /** The summary and where to look next; answers with the exit code. */
  tell: (outcome: DemoOutcome, isServing: boolean) => number;
}

/** What a demo says. With --json everything but the summary goes to stderr. */
export function createStory(context: Context, terms: DemoTerms): Story {
  const { json, handler, items, seed } = terms;
  const out = json ? context.stderr : context.stdout;
  const print = (...lines: string[]): void => printLines(out, lines);
  return {
    print,
    run(url, onBar = () => {}, signal) {
      const onAccepted = (id: string): void =>
        print(`Batch      ${id}: ${itemsText(items)} for ${handler} with seed ${seed}, by POST /v1/batches`);
      const onBeside = (batches: readonly Batch[], isAll: boolean): void => print(...besideLines(batches, isAll));
      const openProgress = () => {
        const display = openDisplay(out, batchLine);
        onBar(true);
        return { ...display, close: () => (display.close(), onBar(false)) };
      };
      return runBatch(createClient({ url, apiKey: readSettings(context.env).bullpenApiKey }), terms, {
        onBeside,
        onAccepted,
        openProgress,
        signal,
      });
    },
    tell(outcome, isServing) {
      print(...endLines(outcome, out.columns || 80), ...nextLines(outcome.batch.id, isServing));
      if (json) printJson(context.stdout, summaryJson(outcome));
      return outcome.batch.state === 'completed' ? exitCode.good : exitCode.failed;
    },
  };
}

/** Older batches share the workers, so what is told of the speed is not that of this batch alone. */
function besideLines(batches: readonly Batch[], isAll: boolean): string[] {
  if (batches.length === 0) return [];
  const left = batches.reduce((sum, batch) => sum + batch.counts.total - doneOf(batch), 0);
  const many = isAll
    ? itemsText(batches.length, 'older batch', 'older batches')
    : `over ${batches.length} older batches`;
  return [`Beside it  ${many} with ${countText(left)} items left: they share the workers with it`];
}
