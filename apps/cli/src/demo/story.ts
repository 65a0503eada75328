import { createClient } from '@bullpen/api';
import { printJson, printLines, type Context } from '../context.ts';
import { exitCode } from '../failure.ts';
import { openDisplay } from '../progress/display.ts';
import { itemsText } from '../text/numbers.ts';
import { runBatch, type DemoOutcome } from './run-batch.ts';
import { nextLines, summaryJson, summaryLines } from './summary.ts';

export interface DemoTerms {
  items: number;
  workers: number;
  handler: string;
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
export function createStory(context: Context, { json, handler, items }: DemoTerms): Story {
  const out = json ? context.stderr : context.stdout;
  const print = (...lines: string[]): void => printLines(out, lines);
  return {
    print,
    run(url, onBar = () => {}, signal) {
      const onAccepted = (id: string): void =>
        print(`Batch      ${id}: ${itemsText(items)} for ${handler}, by POST /v1/batches`);
      const openProgress = () => {
        const display = openDisplay(out);
        onBar(true);
        return { ...display, close: () => (display.close(), onBar(false)) };
      };
      return runBatch(createClient({ url }), { handler, items }, { onAccepted, openProgress, signal });
    },
    tell(outcome, isServing) {
      print(...summaryLines(outcome), ...nextLines(outcome.batch.id, isServing));
      if (json) printJson(context.stdout, summaryJson(outcome));
      return outcome.batch.state === 'completed' ? exitCode.good : exitCode.failed;
    },
  };
}
