import { joinTexts, type Outcome } from '@bullpen/db';
import type { ItemError } from './outputs.ts';

/** The index of the item whose output stands at a position of `outputs`. */
export const indexOfOutput = ({ indexes, first }: Pick<Outcome, 'indexes' | 'first'>, position: number): number =>
  indexes?.[position] ?? first + position;

/** What has outputs of which some may be refused; in a line each has an attempt of its own. */
export type Refusable = Outcome & { attempts?: readonly number[] | null };

/** The same with the items of these outputs failed; `outputs` are the JSON texts of all of them. */
export function failOutputs<Kind extends Refusable>(
  settled: Kind,
  outputs: readonly string[],
  errors: ReadonlyMap<number, ItemError>,
): Kind {
  const kept = [...outputs.keys()].filter((position) => !errors.has(position));
  const { attempts } = settled;
  const failed = [...errors].map(([position, error]) => ({
    index: indexOfOutput(settled, position),
    error,
    ...(attempts && { attempt: attempts[position]! }),
  }));
  return {
    ...settled,
    ...(attempts && { attempts: kept.map((position) => attempts[position]!) }),
    succeeded: settled.succeeded - errors.size,
    outputs: joinTexts(kept.map((position) => outputs[position]!)),
    indexes: kept.map((position) => indexOfOutput(settled, position)),
    failures: [...settled.failures, ...failed],
  };
}
