import { indexMax, isId } from '@bullpen/api';
import { HttpProblem } from './problem.ts';

/**
 * Where a page ends, bound to what it is a page of: `scope` names the list, with the batch or the filter. Opaque to
 * clients; a cursor of another list, batch or filter is refused.
 */
export const encodeCursor = (scope: readonly string[], position: number | string): string =>
  Buffer.from([...scope, position].join(' ')).toString('base64url');

/** An index. */
export const decodeCursor = (scope: readonly string[], cursor: string): number =>
  Number(decode(scope, cursor, (text) => /^\d{1,16}$/.test(text) && Number(text) <= indexMax));

/** The id of a batch. */
export const decodeIdCursor = (scope: readonly string[], cursor: string): string => decode(scope, cursor, isId);

function decode(scope: readonly string[], cursor: string, isPosition: (text: string) => boolean): string {
  const text = Buffer.from(cursor, 'base64url').toString();
  const position = text.slice(text.lastIndexOf(' ') + 1);
  if (isPosition(position) && encodeCursor(scope, position) === cursor) return position;
  throw new HttpProblem('invalid', 'The query of the URL is not valid', {
    errors: [{ pointer: '?cursor', message: 'is no cursor of this list with this filter' }],
  });
}
