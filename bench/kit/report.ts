import type { Measured, Report, Verdict } from './scenario.ts';
import { figure, median, spread } from './stats.ts';

/** A report as lines for a terminal: tables of medians with their spread, what took the time, targets. */
export function reportLines({ tables, verdicts, remarks }: Report): string[] {
  return [
    ...tables.flatMap(({ title, rows }) => ['', title, ...tableLines(rows)]),
    ...(remarks.length > 0 ? ['', ...[...new Set(remarks)].map((remark) => `  ${remark}`)] : []),
    ...(verdicts.length > 0 ? ['', ...verdictLines(verdicts)] : []),
  ];
}

/** Words, then the first figure with its spread, the others as medians; what a row does not have is a dash. */
function tableLines(rows: readonly Measured[]): string[] {
  const heads = [...new Set(rows.flatMap(({ words = {} }) => Object.keys(words)))];
  const names = [...new Set(rows.flatMap(({ runs }) => runs.flatMap((run) => Object.keys(run))))];
  const cells = [
    ['', ...heads, ...names],
    ...rows.map((row) => [
      row.label,
      ...heads.map((head) => row.words?.[head] ?? '–'),
      ...names.map((name, at) => cellOf(row, name, at === 0)),
    ]),
  ];
  return aligned(cells);
}

export function cellOf({ runs }: Measured, name: string, withSpread: boolean): string {
  const values = runs.flatMap((run) => (run[name] === undefined ? [] : [run[name]]));
  if (values.length === 0) return '–';
  return withSpread ? spread(values) : figure(median(values));
}

export const verdictLines = (verdicts: readonly Verdict[]): string[] =>
  aligned([
    ['target', 'asks', 'found', ''],
    ...verdicts.map(({ target, asks, found, ok }) => [target, asks, found, ok === null ? '' : ok ? 'holds' : 'MISSES']),
  ]);

/** Columns two spaces apart; those of numbers to the right. */
function aligned(cells: readonly (readonly string[])[]): string[] {
  const widths = cells[0]!.map((_, at) => Math.max(...cells.map((line) => line[at]!.length)));
  const isNumber = cells[0]!.map((_, at) => at > 0 && cells.slice(1).every((line) => /^[\d–(]/.test(line[at]!)));
  return cells.map((line) =>
    line
      .map((cell, at) => (isNumber[at] ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join('  ')
      .trimEnd(),
  );
}
