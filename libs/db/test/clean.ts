import type { TestDatabase } from '@bullpen/testkit';

/** Cleans up until two rounds have found nothing, as the producer's loop does. Answers how many sweeps deleted something. */
export async function cleanAll({ statements }: TestDatabase, leaseMs = 60_000): Promise<number> {
  let sweeps = 0;
  for (let idle = 0; idle < 2; idle += 1) {
    if ((await statements.cleanUploads({ leaseMs })) > 0) idle = 0;
    for (const leftover of await statements.leftovers()) {
      idle = 0;
      while ((await statements.sweep(leftover)) > 0) sweeps += 1;
    }
    // What is passed is marked by one round and free in the next.
    for (const { first } of await statements.freeRanges()) if ((await statements.freeRange(first)) !== 'busy') idle = 0;
  }
  return sweeps;
}
