import type { Held } from './claims.ts';
import { Item, type ItemError } from './outputs.ts';
import type { Run } from './run.ts';

/** What a run of a chunk has come to, wherever it ran; items by position. */
export interface Outcomes {
  state: Uint8Array;
  /** The outputs of the items that succeeded and returned something, in order, as JSON texts. */
  texts: readonly string[];
  errors: ReadonlyMap<number, ItemError>;
  retries: ReadonlyMap<number, number | null>;
  apart: boolean;
  /** What was not started waits so long before it comes again. */
  waitMs: number;
}

export function outcomesOf({ state, texts, errors, retries, apart, waitMs }: Run): Outcomes {
  const whole = state.every((each) => each === Item.succeeded);
  return {
    state,
    texts: whole ? texts : texts.filter((_, at) => state[at] === Item.succeeded),
    errors,
    retries,
    apart,
    waitMs,
  };
}

/** Of a chunk of which nothing was started. */
export const untouched = (held: Held): Outcomes => ({
  state: new Uint8Array(held.picks?.length ?? held.size),
  texts: [],
  errors: new Map(),
  retries: new Map(),
  apart: false,
  waitMs: 0,
});
