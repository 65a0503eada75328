import { faultsOf, type ProblemError } from '@bullpen/api';
import type { Handler } from '@bullpen/handlers';
import { depthMax, findFault } from './json.ts';

export interface Faults {
  /** It is no JSON at all. */
  syntax: boolean;
  errors: ProblemError[];
}

/** A text that was looked at. */
export interface Checked {
  /** What it is as JSON; undefined where it is none. */
  value: unknown;
  /** Null: it is taken. */
  faults: Faults | null;
}

export type Check = ReturnType<typeof createCheck>;

/**
 * A text as an input of this handler: what it is, and what is wrong with it, each fault with the line's number.
 * JSON.parse is asked first, and the slower walk over the text (json.ts) only for what that does not mind or does not tell.
 */
export function createCheck({ input: schema }: Pick<Handler, 'input'>) {
  return function check(text: string, line: number): Checked {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return { value, faults: jsonFaults(text, line) ?? { syntax: true, errors: [{ line, message: 'no JSON' }] } };
    }
    if (isSuspicious(value, 0)) {
      const faults = jsonFaults(text, line);
      if (faults !== null) return { value, faults };
    }
    const parsed = schema?.safeParse(value);
    if (parsed === undefined || parsed.success) return { value, faults: null };
    return { value, faults: { syntax: false, errors: faultsOf(parsed.error).map((fault) => ({ ...fault, line })) } };
  };
}

function jsonFaults(text: string, line: number): Faults | null {
  const fault = findFault(text);
  if (fault === null) return null;
  return { syntax: fault.syntax, errors: [{ line, message: `${fault.message} (column ${fault.at + 1})` }] };
}

/** Whether it may have lost something on its way from the text, or is nested too deep. A regular expression takes 20 times as long. */
function isSuspicious(value: unknown, depth: number): boolean {
  if (typeof value === 'number') return value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER;
  if (typeof value !== 'object' || value === null) return false;
  if (depth === depthMax) return true;
  if (Array.isArray(value)) return value.some((each) => isSuspicious(each, depth + 1));
  for (const key in value) if (isSuspicious((value as Record<string, unknown>)[key], depth + 1)) return true;
  return false;
}
