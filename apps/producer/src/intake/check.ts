import { faultsOf, type ProblemError } from '@bullpen/api';
import type { Handler } from '@bullpen/handlers';
import { findFault } from '../http/json.ts';

/** What only a walk over the text finds: integers that lose digits, numbers out of range. */
const suspicious = /[0-9]{16}|[0-9][eE]/;
/** Fewer brackets than these cannot nest too deep. */
const bracketsMax = 64;

/**
 * A line as an input of this handler: its faults, each with the line's number; none, and it is taken. JSON.parse is asked
 * first, and the slower walk (http/json.ts) only for what that does not mind or does not tell.
 */
export function createCheck({ input: schema }: Pick<Handler, 'input'>) {
  return function faultsOfLine(text: string, line: number): ProblemError[] {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return [jsonFault(text, line) ?? { line, message: 'no JSON' }];
    }
    if (suspicious.test(text) || hasManyBrackets(text)) {
      const fault = jsonFault(text, line);
      if (fault !== null) return [fault];
    }
    const parsed = schema?.safeParse(value);
    return parsed === undefined || parsed.success ? [] : faultsOf(parsed.error).map((fault) => ({ ...fault, line }));
  };
}

function jsonFault(text: string, line: number): ProblemError | null {
  const fault = findFault(text);
  return fault === null ? null : { line, message: `${fault.message} (column ${fault.at + 1})` };
}

function hasManyBrackets(text: string): boolean {
  let brackets = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if ((code === 0x7b || code === 0x5b) && (brackets += 1) > bracketsMax) return true;
  }
  return false;
}
