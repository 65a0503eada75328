import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

/** `X1–X4`, `X6, X7`, `X44` as numbers. */
function numbersOf(text: string): number[] {
  const [from = 0, to = from] = [...text.matchAll(/X(\d+)/g)].map(([, number]) => Number(number));
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

const rows = readFileSync('docs/reliability.md', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| X'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, numbers = '', , file = '']) => ({ numbers: numbersOf(numbers), file }));

it('docs/reliability.md names each fault once, with the file whose tests bear its number', () => {
  expect(rows.flatMap(({ numbers }) => numbers).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 44 }, (_, at) => at + 1),
  );
  for (const { numbers, file } of rows) {
    // In a name `X26 to X32` stands for those between, too.
    const named = new Set(
      [...readFileSync(file, 'utf8').matchAll(/\bX\d+(?: to X\d+)?/g)].flatMap(([text]) => numbersOf(text)),
    );
    for (const number of numbers) expect([file, number, named.has(number)]).toEqual([file, number, true]);
  }
});
