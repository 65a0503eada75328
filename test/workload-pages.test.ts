import { mkdtemp, readdir, readFile, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, startHouse } from '@bullpen/testkit';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freshCopy, remove } from './support/fresh-copy.ts';
import { blocksOf } from './support/page.ts';
import { openTerminals } from './support/terminals.ts';

const folder = fileURLToPath(new URL('../docs/workloads/', import.meta.url));
const pages = (await readdir(folder)).filter((name) => name.endsWith('.md'));

/** A page may name any; here each is one that is free. */
const portsNamed = /(127\.0\.0\.1:|--port )(\d{4,5})/g;

describe('docs/workloads', () => {
  // `sh` is run, in the terminal that it names; `sh serves` until the end; `sh elsewhere` not; `text` is what the block before shows.
  test.each(pages)('%s: its commands do what it says', async (page) => {
    const house = await startHouse({ workers: 2 });
    const copy = await realpath(await mkdtemp(join(tmpdir(), 'bullpen-workload-')));
    await freshCopy(copy);
    const { PATH = '', HOME = '' } = process.env;
    const ports = new Map([['3000', house.url().split(':').at(-1)!]]);
    const terminals = openTerminals(copy, { PATH, HOME, BULLPEN_URL: house.url() });
    onTestFinished(async () => {
      terminals.closeAll();
      await Promise.all([house.stop(), remove(copy)]);
    });
    let last = '1';
    let ran = 0;
    for (const { language, words, text, line } of blocksOf(await readFile(join(folder, page), 'utf8'))) {
      if (words.has('elsewhere') || (language !== 'sh' && language !== 'text')) continue;
      for (const [, , port = ''] of text.matchAll(portsNamed)) if (!ports.has(port)) ports.set(port, await freePort());
      const here = text.replaceAll(portsNamed, (_, before: string, port: string) => before + ports.get(port)!);
      if (language === 'sh') last = words.get('terminal') ?? '1';
      const played =
        language === 'text'
          ? terminals.shows(last, here)
          : words.has('serves')
            ? terminals.serve(last, here)
            : terminals.run(last, here);
      await Promise.resolve(played).catch((error: Error) => {
        throw new Error(`docs/workloads/${page}:${line}: ${error.message}`, { cause: error });
      });
      ran += 1;
    }
    expect(ran).toBeGreaterThan(1);
  }, 120_000); // prettier-ignore
});
