import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClient } from '@bullpen/api';
import { databaseForTest, eventually, testRedisUrl } from '@bullpen/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { dataFolder } from './run-cli.ts';

const script = fileURLToPath(new URL('../../../scripts/run.mjs', import.meta.url));

const handlerText = (expression: string): string => `
import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';
export default defineHandler({
  name: 'change',
  description: 'Changes a number',
  input: z.object({ n: z.number() }),
  run: ({ n }) => (${expression}),
});
`;

/** As most editors save: what is there is replaced by another file. */
async function save(folder: string, text: string): Promise<void> {
  await writeFile(join(folder, 'change.ts.tmp'), text);
  await rename(join(folder, 'change.ts.tmp'), join(folder, 'change.ts'));
}

test('dev runs the handlers of a folder, reloads them, and goes on with the old ones when the new ones are wrong', async () => {
  const [folder, database] = [await dataFolder(), await databaseForTest()];
  await save(folder, handlerText('n + 1'));
  const { PATH = '', HOME = '' } = process.env;
  const dev = spawn(process.execPath, [script, 'dev'], {
    env: {
      PATH, HOME, DATABASE_URL: database.url, REDIS_URL: testRedisUrl(), DATA_DIR: folder, HANDLERS: folder, PORT: '0', WORKERS: '1',
    },
  }); // prettier-ignore
  onTestFinished(() => void dev.kill('SIGKILL'));
  let said = '';
  for (const stream of [dev.stdout, dev.stderr]) stream.on('data', (text) => (said += String(text)));
  const hears = (words: RegExp) =>
    eventually(String(words), () => words.exec(said), 45_000).catch((error) =>
      Promise.reject(new Error(`${(error as Error).message}\n${said}`)),
    );

  const url = (await hears(/Bullpen runs at (http\S+)/))[1]!;
  await hears(/Watching /);
  const client = createClient({ url });
  const answer = async (): Promise<unknown> => {
    const { id } = await client.submit({ handler: 'change', inputs: [{ n: 20 }] });
    await eventually('it ends', async () => (await client.getBatch(id, { waitSeconds: 5 })).state === 'completed');
    return (await client.result(id, 0)).output;
  };
  expect(await answer()).toBe(21);

  await save(folder, handlerText('n * 2'));
  await hears(/Reloaded in .*: \S+change\.ts\n/);
  expect(await answer()).toBe(40);

  await save(folder, handlerText('n *'));
  await hears(/Not reloaded: \S+change\.ts cannot be built/);
  expect(said).toMatch(/change\.ts:8:\d+/);
  await save(folder, handlerText('n').replace("'change'", "'Change!'"));
  await hears(/change\.ts cannot be loaded: handler name "Change!"[^\n]*\nNot reloaded: that handler cannot be used/);
  expect(await answer()).toBe(40);

  dev.kill('SIGINT');
  expect(await once(dev, 'close')).toEqual([0, null]);
  expect(said).toMatch(/Stopped\.\n$/);
}, 120_000);
