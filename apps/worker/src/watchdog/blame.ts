import type { Holding, Settled } from '@bullpen/db';
import type { ItemError } from '../outputs.ts';
import { attemptsOf } from '../plans.ts';
import { indexAt, restsOf } from '../rests.ts';
import { start, together } from './marks.ts';

/**
 * A chunk whose handler took its process with it, as a flush settles it: the guilty item has used an attempt, the others
 * go back as they are. Where the call was for all items of the chunk (`together`), all have used one, and the next time
 * each is alone; where it was for the batch (`start`), all have.
 */
export function blame(holding: Omit<Holding, 'line'>, item: number, error: ItemError): Settled {
  const { no, claim, first, attempt } = holding;
  const { maxAttempts, backoffMs } = attemptsOf(holding.options);
  const all = Array.from({ length: holding.picks?.length ?? holding.size }, (_, at) => at);
  const isGuilty = (at: number): boolean => item === together || item === start || indexAt(holding, at) === item;
  const guilty = all.filter(isGuilty);
  const again = attempt < maxAttempts;
  const rests = restsOf(holding, { backoffMs }, {
    open: all.filter((at) => !isGuilty(at)),
    again: new Map(again ? guilty.map((at) => [at, null]) : []),
    apart: item === together && all.length > 1,
  }); // prettier-ignore
  return {
    no,
    claim,
    first,
    succeeded: 0,
    outputs: '',
    indexes: [],
    failures: again ? [] : guilty.map((at) => ({ index: indexAt(holding, at), error })),
    rests,
  };
}
