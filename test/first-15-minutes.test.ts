import { mkdtemp, readFile, realpath } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freshCopy, remove } from './support/fresh-copy.ts';
import { type Block, blocksOf, missingLine } from './support/page.ts';
import { openTerminals } from './support/terminals.ts';

const page = fileURLToPath(new URL('../docs/first-15-minutes.md', import.meta.url));

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('docs/first-15-minutes.md, from its first line to its last', async () => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'bullpen-page-')));
  await freshCopy(folder);
  const port = String(await freePort());
  const { PATH = '', HOME = '' } = process.env;
  // A short lease only: the kill on the page is repaired sooner.
  const terminals = openTerminals(folder, { PATH, HOME, PORT: port, LEASE_MS: '1500' });
  onTestFinished(async () => {
    terminals.closeAll();
    await remove(folder);
  });

  let last = '';
  const play = async ({ language, words, text }: Block): Promise<void> => {
    const here = text.replaceAll(':3000', `:${port}`);
    const terminal = words.get('terminal') ?? last;
    if (language === 'text') return terminals.shows(terminal, here);
    last = terminal;
    if (words.has('keys')) return terminals.pressCtrlC(terminal);
    if (words.has('serves')) return terminals.serve(terminal, here);
    return terminals.run(terminal, here);
  };
  const blocks = blocksOf(await readFile(page, 'utf8'));
  expect(blocks.length).toBeGreaterThan(20);
  for (const block of blocks) {
    await play(block).catch((error: Error) => {
      throw new Error(`docs/first-15-minutes.md:${block.line}: ${error.message}`, { cause: error });
    });
  }
}, 240_000);

describe('how a page is compared', () => {
  test('figures that differ from run to run may, others may not; lines keep their order', () => {
    const output =
      'Ready after 2.1 s: producer and 3 workers.\nnoise\nbatch 0198c3a4-7a1e-7000-8000-000000000001, 3 items';
    expect(missingLine('Ready after 900 ms: producer and 3 workers.', output)).toBeNull();
    expect(missingLine('Ready after 900 ms: producer and 4 workers.', output)).toContain('4 workers');
    expect(missingLine('batch 11111111-7a1e-7000-8000-000000000009, 3 items', output)).toBeNull();
    expect(missingLine('batch …, 3 items\nReady after … 3 workers.', output)).toContain('Ready');
    expect(missingLine('producer and 3 workers.', output)).toContain('producer');
  });

  test('blocks are found with their words and lines', () => {
    const blocks = blocksOf('# a\n\n```sh terminal=2 serves\nrun it\n```\ntext\n```text\nline\n```\n');
    expect(blocks.map(({ language, text, line, words }) => [language, text, line, [...words]])).toEqual([
      ['sh', 'run it\n', 3, [['terminal', '2'], ['serves', '']]],
      ['text', 'line\n', 7, []],
    ]); // prettier-ignore
  });
});
