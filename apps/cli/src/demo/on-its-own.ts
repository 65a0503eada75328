import { ApiError } from '@bullpen/api';
import type { Services, Settings } from '@bullpen/runtime';
import { printLines, type Context } from '../context.ts';
import { exitCode, explain } from '../failure.ts';
import { runFleet, untilAborted, type Up } from '../processes/run-fleet.ts';
import { durationText, itemsText } from '../text/numbers.ts';
import { openLogFile, type LogFile } from './log-file.ts';
import { createStory, type DemoTerms, type Story } from './story.ts';
import { stayLines } from './summary.ts';

/** Servers, a producer on a free port and workers of its own, for one batch or, with --stay, until Ctrl-C. */
export async function demoOnItsOwn(context: Context, terms: DemoTerms, settings: Settings): Promise<number> {
  const story = createStory(context, terms);
  const log = await openLogFile(settings.dataDir);
  let [barIsThere, stays, isExplained] = [false, false, false];

  const work = async (up: Up): Promise<number> => {
    const url = await tellSetUp(story, up, settings, terms.workers);
    story.print(`Logs       ${log.shownPath}`);
    const outcome = await story.run(url, (isThere) => (barIsThere = isThere), up.signal);
    const code = story.tell(outcome, terms.stay === true);
    if (!terms.stay) return code;
    stays = true;
    story.print(...stayLines(url));
    await untilAborted(up.signal);
    return code;
  };

  story.print(`Bullpen demo: ${itemsText(terms.items)} for the handler ${terms.handler}`);
  const plan = {
    settings,
    env: { ...context.env, PORT: '0', WORKER_PORT: '0', HOST: '127.0.0.1' },
    mode: 'own',
    producer: true,
    workers: terms.workers,
    // Words in the middle of the bar would tear it.
    say: (line: string): void => (barIsThere ? void log.stream.write(`${line}\n`) : story.print(line)),
    log: log.stream,
    codeWhenStopped: () => (stays ? exitCode.good : exitCode.interrupted),
  } as const;
  const code = await runFleet(plan, work).catch((error: unknown) => {
    const explained = explain(error);
    printLines(context.stderr, explained.lines);
    // The producer's own words need no log beside them.
    isExplained = error instanceof ApiError;
    return explained.exitCode;
  });
  const lastWords = await log.closeAndTail(TAIL_LINES);
  if (code === exitCode.good) story.print('', 'Everything is stopped.');
  else if (code === exitCode.interrupted)
    story.print('', 'Everything is stopped. The batch goes on with the next start.');
  else if (!isExplained) printTail(context, log, lastWords);
  return code;
}

/** Resolves with the producer's URL once all are ready. */
async function tellSetUp(
  { print }: Story,
  { fleet, services }: Up,
  { dataDir }: Settings,
  workers: number,
): Promise<string> {
  print(`Servers    ${serversText(services, dataDir)}`);
  const startedAt = performance.now();
  const [url] = await Promise.all([fleet.url, fleet.ready]);
  await services.announce({ url });
  const took = durationText(performance.now() - startedAt);
  print(`Processes  producer at ${url}, ${itemsText(workers, 'worker')} (${took})`);
  return url;
}

function serversText({ embedded, queueBackend }: Services, dataDir: string): string {
  const postgres = embedded.postgres ? `PostgreSQL runs in ${dataDir}` : 'PostgreSQL of DATABASE_URL';
  if (queueBackend === 'postgres') return `${postgres}, with the queues in it`;
  return `${postgres}, ${embedded.redis ? `Redis runs in ${dataDir}` : 'Redis of REDIS_URL'}`;
}

const TAIL_LINES = 12;

/** When it failed, the last words of the processes say why better than we can. */
function printTail(context: Context, { shownPath }: LogFile, words: readonly string[]): void {
  if (words.length === 0) return;
  printLines(context.stderr, ['', `The demo failed. The end of ${shownPath}:`, ...words.map((line) => `  ${line}`)]);
}
