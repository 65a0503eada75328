import { setTimeout as sleep } from 'node:timers/promises';
import { findGaps, type House, readItems } from '@bullpen/testkit';

/**
 * Reads at random moments what must hold at every moment: of each group the first items are final, and counts sum to the total.
 * `stop` answers how often it looked, and a line for each fault.
 */
export function startWatch(house: House) {
  const ids: string[] = [];
  const faults: string[] = [];
  let reads = 0;
  let isOver = false;

  async function look(id: string): Promise<void> {
    const items = await readItems(house.database, [id]);
    faults.push(...findGaps(items));
    const found = await house.batch(id);
    // A server that was killed a moment ago: the answer is a problem.
    if (found.counts === undefined) return;
    const { total, pending, running, succeeded, failed, cancelled } = found.counts;
    if (pending + running + succeeded + failed + cancelled !== total)
      faults.push(`${id}: counts do not sum to the total: ${JSON.stringify(found)}`);
    reads += 1;
  }

  const watching = (async () => {
    while (!isOver) {
      await sleep(20 + Math.random() * 100);
      const id = ids[Math.floor(Math.random() * ids.length)];
      if (id !== undefined) await look(id).catch(() => undefined);
    }
  })();

  return {
    add: (id: string): void => void ids.push(id),
    async stop(): Promise<{ reads: number; faults: string[] }> {
      isOver = true;
      await watching;
      return { reads, faults };
    },
  };
}
