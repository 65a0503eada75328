/**
 * How lists travel in one parameter. postgres.js would ask the server for array types (a round trip a connection) and
 * quote every element; these forms need neither.
 */

/** Numbers or uuids as an array literal: `${list(nos)}::bigint[]`. Elements must not need quoting. */
export const list = (values: readonly (number | string)[]): string => `{${values.join(',')}}`;

/** Lists of numbers, some of which may be missing, for `string_to_array(${…}, ';', '')` and a cast of each to `int[]`. */
export const lists = (values: readonly (readonly number[] | null | undefined)[]): string =>
  values.map((each) => (each ? list(each) : '')).join(';');

/** U+001F may not stand unescaped in JSON, so it separates JSON texts without any quoting. */
const jsonSeparator = '\u001f';

/** JSON texts for `string_to_array(${…}, E'\\x1f')`. An empty list gives null, since '' would be one empty text. */
export const jsonTexts = (texts: readonly string[]): string | null => (texts.length === 0 ? null : joinTexts(texts));

/** Names as an array literal, quoted. */
export const names = (values: readonly string[]): string =>
  `{${values.map((value) => `"${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`).join(',')}}`;

/** JSON texts as one text, without any quoting; `splitTexts` gives them back. */
export const joinTexts = (texts: readonly string[]): string => texts.join(jsonSeparator);

export const splitTexts = (joined: string): string[] => (joined === '' ? [] : joined.split(jsonSeparator));
