import { faultsOf, type ProblemError } from '@bullpen/api';
import type { Handler } from '@bullpen/handlers';
import { findFault } from './json.ts';

/** What only a walk over the text finds: integers that lose digits, numbers out of range. */
const suspicious = /[0-9]{16}|[0-9][eE]/;
/** Fewer brackets than these cannot nest too deep; a text that does has as many that close. */
const bracketsMax = 64;

export interface Faults {
  /** It is no JSON at all. */
  syntax: boolean;
  errors: ProblemError[];
}

export type Check = ReturnType<typeof createCheck>;

/**
 * A text as an input of this handler: what is wrong with it, each fault with the line's number; null, and it is taken.
 * JSON.parse is asked first, and the slower walk (json.ts) only for what that does not mind or does not tell.
 */
export function createCheck({ input: schema }: Pick<Handler, 'input'>) {
  return function check(text: string, line: number): Faults | null {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return jsonFaults(text, line) ?? { syntax: true, errors: [{ line, message: 'no JSON' }] };
    }
    if (suspicious.test(text) || hasManyBrackets(text)) {
      const faults = jsonFaults(text, line);
      if (faults !== null) return faults;
    }
    if (schema === undefined) return null;
    const parsed = schema.safeParse(value);
    return parsed.success
      ? null
      : { syntax: false, errors: faultsOf(parsed.error).map((fault) => ({ ...fault, line })) };
  };
}

function jsonFaults(text: string, line: number): Faults | null {
  const fault = findFault(text);
  if (fault === null) return null;
  return { syntax: fault.syntax, errors: [{ line, message: `${fault.message} (column ${fault.at + 1})` }] };
}

function hasManyBrackets(text: string): boolean {
  if (text.length <= 2 * bracketsMax) return false;
  return count(text, '{') + count(text, '[') > bracketsMax;
}

/** At most one more than is too many. */
function count(text: string, bracket: string): number {
  let found = 0;
  for (let at = text.indexOf(bracket); at >= 0 && found <= bracketsMax; at = text.indexOf(bracket, at + 1)) found += 1;
  return found;
}
