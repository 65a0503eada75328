import type { Command } from 'commander';
import { createClient, type Client } from '@bullpen/api';
import { readRunFile, readSettings } from '@bullpen/runtime';
import type { Context } from './context.ts';
import { Failure, exitCode } from './failure.ts';

/** What every command that talks to a producer takes. */
export interface ConnectOptions {
  url?: string;
  json?: boolean;
}

/** A command of the API, with the options that all of them share. */
export const apiCommand = (program: Command, nameAndArgs: string): Command =>
  program
    .command(nameAndArgs)
    .option('--json', 'print JSON for scripts, and nothing else, on stdout')
    .option(
      '--url <url>',
      'the producer (default: BULLPEN_URL, the one that runs on DATA_DIR, else http://127.0.0.1:3000)',
    );

export async function connect(context: Context, { url }: ConnectOptions): Promise<Client> {
  const { bullpenApiKey: apiKey } = readSettings(context.env);
  return createClient({ url: url === undefined ? await findProducer(context) : checkedUrl(url), apiKey });
}

/** Where the producer is when nobody says so on the command line. */
async function findProducer({ env }: Context): Promise<string> {
  const { bullpenUrl, dataDir, port } = readSettings(env);
  if (bullpenUrl !== undefined) return bullpenUrl;
  const run = await readRunFile(dataDir);
  return typeof run?.['url'] === 'string' ? run['url'] : `http://127.0.0.1:${port === 0 ? 3000 : port}`;
}

function checkedUrl(url: string): string {
  if (URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol)) return url;
  throw new Failure(`--url must be a URL such as http://127.0.0.1:3000, not "${url}"`, exitCode.usage);
}
