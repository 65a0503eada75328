import { joinTexts, type Settled } from '@bullpen/db';
import type { Held } from './claims.ts';
import type { Outcomes } from './outcomes.ts';
import { Item } from './outputs.ts';
import type { Plan } from './plans.ts';
import { indexAt, restsOf } from './rests.ts';

/** Turns the outcomes of the items into what the flush statement takes. */
export function settle(held: Held, plan: Pick<Plan, 'backoffMs' | 'gate'>, outcomes: Outcomes): Settled {
  const { state, texts, errors, retries, apart, waitMs } = outcomes;
  const { pieceItems } = plan.gate;
  const whole = state.every((each) => each === Item.succeeded);
  const kept = whole ? null : positionsOf(state, Item.succeeded);
  const acknowledged = state.reduce((n, each) => (each === Item.acknowledged ? n + 1 : n), 0);
  return {
    no: held.no,
    claim: held.claim,
    first: held.first,
    succeeded: (kept?.length ?? state.length) + acknowledged,
    outputs: joinTexts(texts),
    indexes: kept === null ? held.picks : kept.map((at) => indexAt(held, at)),
    failures: [...errors].map(([at, error]) => ({ index: indexAt(held, at), error })),
    rests: restsOf(held, plan, { open: positionsOf(state, Item.open), again: retries, apart, pieceItems, waitMs }),
  };
}

function positionsOf(state: Uint8Array, wanted: number): number[] {
  const positions: number[] = [];
  for (let at = 0; at < state.length; at += 1) if (state[at] === wanted) positions.push(at);
  return positions;
}
