import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { recommendedPostgres, recommendedRedis } from '@bullpen/runtime';
import { describe, expect, test } from 'vitest';
import { callCli } from './run-cli.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const pages = [
  'README.md',
  ...['docs', 'docs/workloads'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
];
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
const scripts = Object.keys((JSON.parse(read('package.json')) as { scripts: object }).scripts);

interface Typed {
  page: string;
  text: string;
  script: string;
  args: string[];
}

/** Everything in code that begins with npm or pnpm, cut at what a shell would cut. */
function commandsOf(page: string): Typed[] {
  const text = read(page);
  const fenced = [...text.matchAll(/^```\w*[^\n]*\n([^]*?)^```$/gm)].flatMap((found) =>
    found[1]!.replaceAll('\\\n', ' ').split('\n'),
  );
  const inline = [...text.replaceAll(/^```[^]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map((found) => found[1]!);
  return [...fenced, ...inline]
    .flatMap((line) => line.replaceAll(String.raw`\|`, '|').split(/&&|\||;|\$\(|\s#\s| {3,}/))
    .flatMap((piece): Typed[] => {
      const found = /^\s*(?:[A-Z_]+=\S+ +)*(?:pnpm|npm(?: run)?(?: -s)?) +([a-z:]+)(?: +-- +| +|$)(.*)$/.exec(piece);
      if (found === null) return [];
      return [{ page, text: piece.trim(), script: found[1]!, args: found[2]!.split(/\s+/).filter(Boolean) }];
    });
}

const commands = pages.flatMap(commandsOf);

/** Which command of the program a script of package.json is. */
const programOf = ({ script, args }: Typed): string[] | null => {
  if (script === 'bullpen') return args.slice(0, 1);
  if (script === 'db:migrate') return ['migrate'];
  return ['start', 'demo', 'dev', 'producer', 'worker'].includes(script) ? [script] : null;
};

describe('the docs', () => {
  test('name commands that there are', () => {
    expect(commands.length).toBeGreaterThan(40);
    const known = [...scripts, 'run', 'config'];
    expect(
      commands.filter(({ script }) => !known.includes(script)).map(({ page, text }) => `${page}: ${text}`),
    ).toEqual([]);
  });

  test('name subcommands and options that they have', async () => {
    const faults: string[] = [];
    for (const command of commands) {
      const words = programOf(command);
      if (words === null || words.some((word) => word.startsWith('<'))) continue;
      const { code, stdout: text } = await callCli([...words, '--help']);
      const options = command.args.filter((arg) => /^--[a-z]/.test(arg)).map((arg) => arg.split('=')[0]!);
      const unknown = options.filter((option) => option !== '--help' && !new RegExp(`${option}\\b`).test(text));
      if (code !== 0 || unknown.length > 0) faults.push(`${command.page}: ${command.text} (${unknown.join(' ')})`);
    }
    expect(faults).toEqual([]);
  });

  test('link to files and headings that are there', () => {
    const faults = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)/g)].flatMap(([, file = '', anchor = '']) => {
        const target = file === '' ? join(root, page) : resolve(root, dirname(page), file);
        if (!existsSync(target)) return [`${page}: ${file}`];
        return anchor === '' || headingsOf(readFileSync(target, 'utf8')).includes(anchor.slice(1))
          ? []
          : [`${page}: ${file}${anchor}`];
      }),
    );
    expect(faults).toEqual([]);
  });

  test('show the recommended settings as they are', () => {
    const rows = [...read('docs/operations.md').matchAll(/^\| `([\w-]+)` \| (at least|exactly) (\S+) \|/gm)];
    expect(rows.map(([, name, rule, value]) => ({ name, rule, value }))).toEqual(
      [...recommendedPostgres, ...recommendedRedis].map(({ name, rule, value }) => ({ name, rule, value })),
    );
  });
});

/** As GitHub makes them. */
const headingsOf = (markdown: string): string[] =>
  [...markdown.matchAll(/^#+ (.+)$/gm)].map((found) =>
    found[1]!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
