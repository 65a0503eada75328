import { joinTexts, splitTexts, verdictOf } from '@bullpen/db';
import { failOutputs, type Refusable } from './fail-outputs.ts';

type Probe = (outputs: string) => Promise<number>;

const error = { code: 'output-not-storable', message: 'the database cannot store what became of this item' };

/**
 * A chunk that the database refuses to settle: the outputs it refuses are found by halves, and those items fail alone.
 * Where it takes every output by itself the fault lies elsewhere, and all items that have something to store fail with a
 * constant error: a chunk that can never be settled would come back for ever.
 */
export async function withoutGuilty<Kind extends Refusable>(settled: Kind, probe: Probe): Promise<Kind> {
  const outputs = splitTexts(settled.outputs);
  const guilty = new Set<number>();
  await search(outputs, 0, outputs.length, probe, guilty);
  const unknown = guilty.size === 0;
  if (unknown) for (const position of outputs.keys()) guilty.add(position);
  const failures = unknown ? settled.failures.map((failure) => ({ ...failure, error })) : settled.failures;
  return failOutputs({ ...settled, failures }, outputs, new Map([...guilty].map((position) => [position, error])));
}

async function search(
  outputs: readonly string[],
  from: number,
  to: number,
  probe: Probe,
  guilty: Set<number>,
): Promise<void> {
  if (from >= to) return;
  try {
    await probe(joinTexts(outputs.slice(from, to)));
  } catch (error) {
    if (verdictOf(error) !== 'value') throw error;
    if (to - from === 1) return void guilty.add(from);
    const middle = (from + to) >> 1;
    await search(outputs, from, middle, probe, guilty);
    await search(outputs, middle, to, probe, guilty);
  }
}
