/**
 * What looks like a secret, wherever in a text it stands, and what is shown of it. A text may be a line of JSON, so nothing reaches over a
 * quotation mark unless that is escaped.
 */
const secrets: readonly [RegExp, string][] = [
  // An API key: of its two parts the first only names it.
  [/\bbp_([A-Za-z0-9]+)_[\w-]+/g, 'bp_$1_***'],
  [/\b(Bearer|Basic)\s+[\w.~+/=*-]{8,}/gi, '$1 ***'],
  // The password of a URL, which may itself hold an @.
  [/(:\/\/[^\s:@/?#"']*):(?:\\.|[^\s/?#"\\])*@/g, '$1:***@'],
  [/([?&]password=)[^\s&"']+/gi, '$1***'],
  [/("(?:authorization|cookie|password|secret)":\s*")(?:\\.|[^"\\])*/gi, '$1***'],
];

/** The text without keys, passwords of URLs and what stood in an `Authorization` header. */
export const maskSecrets = (text: string): string =>
  secrets.reduce((masked, [pattern, shown]) => masked.replace(pattern, shown), text);
