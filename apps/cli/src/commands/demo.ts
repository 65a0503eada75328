import { seedMax } from '@bullpen/api';
import type { Command } from 'commander';
import { readRunFile, readSettings, type Settings } from '@bullpen/runtime';
import type { Context } from '../context.ts';
import { demoOnItsOwn } from '../demo/on-its-own.ts';
import { createStory, type DemoTerms } from '../demo/story.ts';
import { Failure, exitCode } from '../failure.ts';
import { wholeNumber } from '../options.ts';

const examples = `
Examples:
  npm run demo
  npm run demo -- --items 500000 --workers 1
  npm run demo -- --handler echo --items 1000000 --workers 6
  npm run demo -- --stay`;

export function addDemo(program: Command, context: Context): void {
  program
    .command('demo')
    .summary('set everything up, play 100,000 bingo events, show who wins')
    .description(
      'Sets up servers, a producer on a free port and workers, submits a batch over REST, shows its progress and a summary, ' +
        'and stops everything. Where a Bullpen runs on DATA_DIR already, the batch goes there.',
    )
    .option('--items <n>', 'items of the batch', wholeNumber(1, 1_000_000_000), 100_000)
    .option('--workers <n>', 'worker processes', wholeNumber(1, 64), 3)
    .option('--handler <name>', 'what runs the items', 'simulate')
    .option('--seed <n>', 'of the random numbers: the same seed, the same hash', wholeNumber(0, seedMax), 1)
    .option('--chunk-size <n>', 'items of a chunk', wholeNumber(1, 10_000))
    .option('--stay', 'serve on until Ctrl-C')
    .option('--json', 'print the summary as JSON on stdout; everything else goes to stderr')
    .addHelpText('after', examples)
    .action(async (terms: DemoTerms, command: Command) => {
      const settings = readSettings(context.env);
      const run = await readRunFile(settings.dataDir);
      const url = typeof run?.['url'] === 'string' ? run['url'] : null;
      if (url === null) return context.setExitCode(await demoOnItsOwn(context, terms, settings));
      if (command.getOptionValueSource('workers') === 'cli') {
        throw new Failure(refusalText(settings, url), exitCode.usage);
      }
      context.setExitCode(await demoOnRunning(context, terms, settings, url));
    });
}

const refusalText = ({ dataDir }: Settings, url: string): string =>
  `A Bullpen runs on ${dataDir} already (${url}): leave --workers out to use it, or add some with pnpm worker --scale N.`;

/** Someone's Bullpen: it is left as it was, with one batch more. */
async function demoOnRunning(context: Context, terms: DemoTerms, { dataDir }: Settings, url: string): Promise<number> {
  const story = createStory(context, terms);
  story.print(`A Bullpen runs on ${dataDir} already: the batch goes to ${url}`);
  return story.tell(await story.run(url), true);
}
