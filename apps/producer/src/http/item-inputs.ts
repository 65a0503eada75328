import type { Statements } from '@bullpen/db';

/** The input of an item; undefined in a count batch, whose items have none. */
export type InputOf = (index: number) => Promise<unknown>;

/**
 * Inputs by index, for indexes that rise. One row of inputs is in memory, 1 MiB of text at most: it is read again for
 * each part of a stream, since 200 slow readers would otherwise hold as many of them while they wait.
 */
export function createItemInputs(statements: Pick<Statements, 'inputs'>, batch: number): InputOf {
  let first = 0;
  let items: unknown[] = [];
  let none = false;
  return async (index) => {
    if (none) return undefined;
    if (index >= first + items.length) {
      const row = await statements.inputs({ batch, index });
      none = row === null;
      first = row?.first ?? 0;
      items = row === null ? [] : (JSON.parse(row.items) as unknown[]);
    }
    return items[index - first];
  };
}
