export interface Column<Row> {
  title: string;
  text: (row: Row) => string;
  /** Numbers stand to the right. */
  align?: 'left' | 'right';
}

/** Aligned columns under a line of titles, two spaces apart, without spaces at the end of a line. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ text }) => text(row)))];
  const widths = columns.map((_, at) => Math.max(...cells.map((line) => width(line[at] ?? ''))));
  return cells.map((line) =>
    line
      .map((cell, at) => pad(cell, widths[at] ?? 0, columns[at]?.align ?? 'left'))
      .join('  ')
      .trimEnd(),
  );
}

/** Label and value in two columns: what one thing is. */
export function facts(pairs: readonly (readonly [label: string, value: string])[]): string[] {
  const widest = Math.max(...pairs.map(([label]) => width(label)));
  return pairs.map(([label, value]) => `${pad(label, widest, 'left')}  ${value}`.trimEnd());
}

/** Code points, not UTF-16 units: names may hold anything. Wide scripts are still off by one each. */
const width = (text: string): number => Array.from(text).length;

function pad(text: string, to: number, align: 'left' | 'right'): string {
  const spaces = ' '.repeat(Math.max(0, to - width(text)));
  return align === 'right' ? spaces + text : text + spaces;
}

/** At most `max` code points, on one line: what others wrote may hold line ends and escape codes. */
export function shortText(text: string, max: number): string {
  // oxlint-disable-next-line no-control-regex
  const points = Array.from(text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' '));
  return points.length <= max ? points.join('') : `${points.slice(0, max - 1).join('')}…`;
}
