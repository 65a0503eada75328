import { type Settled, verdictOf } from '@bullpen/db';

type Probe = (outputs: string) => Promise<number>;

/**
 * Finds the outputs that the database refuses by halves, and fails those items alone. Answers null when it takes every
 * output by itself, so that the fault lies elsewhere.
 */
export async function withoutGuilty(settled: Settled, probe: Probe): Promise<Settled | null> {
  const outputs = (JSON.parse(settled.outputs) as unknown[]).map((output) => JSON.stringify(output));
  const guilty = new Set<number>();
  await search(outputs, 0, outputs.length, probe, guilty);
  if (guilty.size === 0) return null;
  const indexOf = (position: number): number => settled.indexes?.[position] ?? settled.first + position;
  const kept = outputs.map((_, position) => position).filter((position) => !guilty.has(position));
  const error = { code: 'output-not-storable', message: 'the database cannot store this output as JSON' };
  return {
    ...settled,
    succeeded: settled.succeeded - guilty.size,
    outputs: `[${kept.map((position) => outputs[position]).join(',')}]`,
    indexes: kept.map(indexOf),
    failures: [...settled.failures, ...[...guilty].map((position) => ({ index: indexOf(position), error }))],
  };
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
    await probe(`[${outputs.slice(from, to).join(',')}]`);
  } catch (error) {
    if (verdictOf(error) !== 'value') throw error;
    if (to - from === 1) return void guilty.add(from);
    const middle = (from + to) >> 1;
    await search(outputs, from, middle, probe, guilty);
    await search(outputs, middle, to, probe, guilty);
  }
}
