import { readdirSync } from 'node:fs';
import type { Kept } from './kept.ts';
import { cellOf } from './report.ts';
import { runsOf, type Verdict } from './scenario.ts';

const workloads = readdirSync(new URL('../../docs/workloads/', import.meta.url)).filter((name) => name.endsWith('.md'));

/**
 * Pages with marks between which figures stand: `<!-- bench rate -->` … `<!-- /bench -->`, with some of the columns only
 * `<!-- bench rate: items/s, MB worker -->`, or `<!-- bench targets -->`.
 */
export const pages = ['README.md', 'docs/rates.md', ...workloads.map((name) => `docs/workloads/${name}`)];

const marks = /(<!-- bench ([\w-]+)(?:: ([^>]*))? -->\n)[\s\S]*?(<!-- \/bench -->)/g;

/** The page with the figures of what was measured last; marks of what was never measured keep what they hold. */
export function fillPage(page: string, kept: ReadonlyMap<string, Kept>): string {
  return page.replaceAll(marks, (whole: string, begin: string, name: string, only: string | undefined, end: string) => {
    const text = name === 'targets' ? targetsText([...kept.values()]) : scenarioText(kept.get(name), only?.split(', '));
    return text === null ? whole : `${begin}\n${text}\n\n${end}`;
  });
}

function scenarioText(kept: Kept | undefined, only: readonly string[] | undefined): string | null {
  if (kept === undefined) return null;
  return [sourceText(kept), ...kept.tables.map((table) => tableText(table, only))].join('\n\n');
}

/** The command that prints it, when it did, and where. */
function sourceText({ name, asked, at, machine }: Kept): string {
  const runs = asked.runs === 1 ? 'one run' : `median of ${asked.runs} runs`;
  const place = `${machine['cpu']}, ${machine['memory']}, PostgreSQL ${machine['postgresql']}, Node ${machine['node']}`;
  const [load] = (machine['load before'] ?? '').split(' ');
  return `\`${commandOf({ name, asked })}\`, ${at.slice(0, 10)}, ${runs}${load ? `, load before ${load}` : ''}; ${place}.`;
}

const commandOf = ({ name, asked: { quick, runs, items, workers } }: Pick<Kept, 'name' | 'asked'>): string =>
  [
    `pnpm bench ${name}`,
    ...(quick ? ['--quick'] : []),
    ...(runs === runsOf(quick) ? [] : [`--runs ${runs}`]),
    ...(items === undefined ? [] : [`--items ${items}`]),
    ...(workers === undefined ? [] : [`--workers ${workers}`]),
  ].join(' ');

/** What all rows say alike stands above the table; rows that have none of the columns are left out. */
function tableText({ title, rows: all }: Kept['tables'][number], only: readonly string[] | undefined): string {
  const measured = [...new Set(all.flatMap(({ runs }) => runs.flatMap((figures) => Object.keys(figures))))];
  const names = measured.filter((name) => only?.includes(name) ?? true);
  const rows = all.filter(({ runs }) => runs.some((figures) => names.some((name) => name in figures)));
  const heads = [...new Set(rows.flatMap(({ words = {} }) => Object.keys(words)))];
  const common = heads.filter((head) => rows.every(({ words }) => words?.[head] === rows[0]!.words?.[head]));
  // The title names it already.
  const told = common.filter((head) => !title.startsWith(rows[0]!.words![head]!));
  const above = [`**${title}**`, ...told.map((head) => `${head}: ${rows[0]!.words![head]}`)].join(' · ');
  const own = heads.filter((head) => !common.includes(head));
  const lines = rows.map((row) => [
    row.label,
    ...own.map((head) => row.words?.[head] ?? '–'),
    ...names.map((name, at) => cellOf(row, name, at === 0)),
  ]);
  return [above, '', markdown([['', ...own, ...names], ...lines], 1 + own.length)].join('\n');
}

function targetsText(all: readonly Kept[]): string | null {
  const lines = all
    .flatMap((kept) => kept.verdicts.map((verdict) => ({ ...verdict, command: commandOf(kept) })))
    .filter(({ target }) => !target.startsWith('seed'))
    .sort((a, b) => Number(a.target.slice(1)) - Number(b.target.slice(1)));
  if (lines.length === 0) return null;
  const rows = lines.map(({ target, asks, found, ok, command }) => [target, asks, found, wordOf(ok), `\`${command}\``]);
  return markdown([['', 'asks', 'found', '', 'printed by'], ...rows], 5);
}

const wordOf = (ok: Verdict['ok']): string => (ok === null ? '' : ok ? 'holds' : '**misses**');

/** The first `words` columns to the left, the others, which are figures, to the right. */
function markdown([head, ...rows]: readonly (readonly string[])[], words: number): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head!), line(head!.map((_, at) => (at < words ? '---' : '---:'))), ...rows.map(line)].join('\n');
}
