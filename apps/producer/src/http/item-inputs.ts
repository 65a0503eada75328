import type { InputsRow, Statements } from '@bullpen/db';

/** The input of an item; undefined in a count batch, whose items have none. */
export type InputOf = (index: number) => Promise<unknown>;

/** A row of inputs that is in memory; what is before `at` is not asked for any more. */
interface Held {
  indexes: readonly number[] | null;
  first: number;
  items: readonly unknown[];
  at: number;
}

/**
 * Inputs by index, for indexes that rise. One row of inputs is in memory, 1 MiB of text at most, and of a keyed batch, whose rows lie
 * across one another, one for each line, some 8 MiB together: each is read once and left behind its last item. They are read again
 * for each part of a stream, since 200 slow readers would otherwise hold as many of them while they wait.
 */
export function createItemInputs(statements: Pick<Statements, 'inputs'>, batch: number): InputOf {
  let held: Held[] = [];
  let none = false;
  return async (index) => {
    if (none) return undefined;
    held = held.filter((row) => isNeeded(row, index));
    let row = held.find((each) => indexAt(each) === index);
    if (row === undefined) {
      const found = await statements.inputs({ batch, index });
      none = found === null;
      if (found === null) return undefined;
      row = heldOf(found);
      isNeeded(row, index);
      held.push(row);
    }
    return row.items[row.at];
  };
}

const heldOf = ({ first, indexes, items }: InputsRow): Held => ({
  first,
  indexes,
  items: JSON.parse(items) as unknown[],
  at: 0,
});

const indexAt = ({ indexes, first, at }: Held): number => indexes?.[at] ?? first + at;

/** Goes on to the first element that is not before this index; whether there is one. */
function isNeeded(row: Held, index: number): boolean {
  if (row.indexes === null) row.at = index - row.first;
  else while (row.at < row.items.length && row.indexes[row.at]! < index) row.at += 1;
  return row.at < row.items.length;
}
