import { joinTexts, type Settled } from '@bullpen/db';
import type { Held } from './claims.ts';
import { Item, type ItemError } from './outputs.ts';
import { indexAt, restsOf } from './rests.ts';
import type { Run } from './run.ts';

/** What a run of a chunk has come to, wherever it ran; items by position. */
export interface Outcomes {
  state: Uint8Array;
  /** The outputs of the items that succeeded and returned something, in order, as `joinTexts` writes them. */
  outputs: string;
  errors: ReadonlyMap<number, ItemError>;
  retries: ReadonlyMap<number, number | null>;
  apart: boolean;
}

export function outcomesOf({ state, texts, errors, retries, apart }: Run): Outcomes {
  const kept = state.every((each) => each === Item.succeeded)
    ? texts
    : texts.filter((_, at) => state[at] === Item.succeeded);
  return { state, outputs: joinTexts(kept), errors, retries, apart };
}

/** Of a chunk of which nothing was started. */
export const untouched = (held: Held): Outcomes => ({
  state: new Uint8Array(held.picks?.length ?? held.size),
  outputs: '',
  errors: new Map(),
  retries: new Map(),
  apart: false,
});

/** Turns the outcomes of the items into what the flush statement takes. */
export function settle(held: Held, plan: { backoffMs: number }, outcomes: Outcomes): Settled {
  const { state, outputs, errors, retries, apart } = outcomes;
  const whole = state.every((each) => each === Item.succeeded);
  const kept = whole ? null : positionsOf(state, Item.succeeded);
  const acknowledged = state.reduce((n, each) => (each === Item.acknowledged ? n + 1 : n), 0);
  return {
    no: held.no,
    claim: held.claim,
    first: held.first,
    succeeded: (kept?.length ?? state.length) + acknowledged,
    outputs,
    indexes: kept === null ? held.picks : kept.map((at) => indexAt(held, at)),
    failures: [...errors].map(([at, error]) => ({ index: indexAt(held, at), error })),
    rests: restsOf(held, plan, { open: positionsOf(state, Item.open), again: retries, apart }),
  };
}

function positionsOf(state: Uint8Array, wanted: number): number[] {
  const positions: number[] = [];
  for (let at = 0; at < state.length; at += 1) if (state[at] === wanted) positions.push(at);
  return positions;
}
