import type { Bench, Measured, Variant } from './scenario.ts';
import { figure } from './stats.ts';

/**
 * Measures all variants in turn, `runs` times: what happens to the machine meanwhile happens to each of them. Every other
 * turn goes backwards, so that none always comes first.
 */
export async function interleave(
  bench: Bench,
  variants: readonly Variant[],
  runs = bench.asked.runs,
): Promise<Measured[]> {
  const measured = variants.map(({ label }): Measured => ({ label, runs: [] }));
  for (let run = 0; run < runs; run += 1) {
    const order = [...variants.keys()];
    if (run % 2 === 1) order.reverse();
    for (const at of order) {
      const figures = await variants[at]!.measure();
      measured[at]!.runs.push(figures);
      const shown = Object.entries(figures)
        .slice(0, 3)
        .map(([name, value]) => `${figure(value)} ${name}`);
      bench.say(`${run + 1}/${runs}  ${variants[at]!.label}: ${shown.join(', ')}`);
    }
  }
  return measured;
}
