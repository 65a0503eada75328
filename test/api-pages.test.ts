import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startHouse } from '@bullpen/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { type Block, blocksOf, missingLine } from './support/page.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

function has(tool: string): boolean {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Plays a page: its shell blocks in one shell, each program by its own language; `text` is what the block before it shows. */
async function play(page: string): Promise<string[]> {
  const house = await startHouse({ workers: 1 });
  const folder = await mkdtemp(join(tmpdir(), 'bullpen-api-'));
  onTestFinished(async () => {
    await house.stop();
    await rm(folder, { recursive: true });
  });
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
  const run = (command: string, args: string[], input: string): string =>
    execFileSync(command, args, { cwd: folder, input, timeout: 60_000, maxBuffer: 1e8 }).toString();
  const played: string[] = [];
  // A shell for each block, so that its output stands apart: the variables go from one to the next.
  let before = 'set -a\n';
  let shown = '';
  async function playBlock({ language, words, text, line }: Block): Promise<void> {
    if (words.has('elsewhere')) return;
    const here = text.replaceAll('http://127.0.0.1:3000', house.url());
    if (language === 'sh') {
      shown = run('bash', ['-e', '-c', `${before}${here}\nexport -p > .variables`], '');
      before = 'set -a\n. ./.variables\n';
    } else if (language === 'js') {
      await writeFile(join(folder, 'page.mjs'), here);
      shown = run(process.execPath, ['page.mjs'], '');
    } else if (language === 'python') {
      if (!has('python3')) return void (shown = '');
      shown = run('python3', ['-'], here);
    } else if (language === 'text' && shown !== '') {
      expect(missingLine(text, shown), `${page}:${line}\n${shown.slice(0, 2000)}`).toBeNull();
    }
    played.push(language);
  }
  const blocks = blocksOf(await readFile(join(root, page), 'utf8'));
  for (const [at, block] of blocks.entries()) {
    await playBlock(block);
    // A refusal that the page does not show is a fault of the page.
    if (block.language !== 'text' && blocks[at + 1]?.language !== 'text') expect(shown).not.toContain('/problems/');
  }
  return played;
}

test.runIf(has('curl') && has('bash'))(
  'docs/api.md: curl, undici and urllib do its examples',
  async () => {
    expect((await play('docs/api.md')).length).toBeGreaterThan(15);
  },
  120_000,
);

test.runIf(has('curl') && has('bash'))(
  'docs/api-results.md: its commands',
  async () => {
    expect((await play('docs/api-results.md')).length).toBeGreaterThan(5);
  },
  120_000,
);
