/** A JSON pointer (RFC 6901): `['inputs', 17, 'a']` is `/inputs/17/a`. */
export const pointerOf = (path: readonly PropertyKey[]): string =>
  path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
