import { HttpProblem } from './problem.ts';

/** Batch numbers and indexes are int4. */
const positionMax = 2 ** 31 - 1;

/**
 * Where a page ends, bound to what it is a page of: `scope` names the list, with the batch or the filter. Opaque to
 * clients; a cursor of another list, batch or filter is refused.
 */
export const encodeCursor = (scope: readonly string[], position: number): string =>
  Buffer.from([...scope, position].join(' ')).toString('base64url');

export function decodeCursor(scope: readonly string[], cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString();
  const position = Number(text.slice(text.lastIndexOf(' ') + 1));
  const known = position <= positionMax && encodeCursor(scope, position) === cursor;
  if (known && Number.isInteger(position) && position >= 0) return position;
  throw new HttpProblem('invalid', 'The query of the URL is not valid', {
    errors: [{ pointer: '?cursor', message: 'is no cursor of this list with this filter' }],
  });
}
