import { outputOf } from '../peers/item.mjs';

const probe = 8000;
const itemsOfATry = 200;

/**
 * Iterations of the item (peers/item.mjs) that take one µs of cpu here: by the best of some tries, since what else runs on the
 * machine makes them only slower. Asked for once a scenario, so that all its variants have the same items.
 */
export function iterationsPerUs(): number {
  const tries = Array.from({ length: 150 }, () => {
    const started = performance.now();
    for (let item = 0; item < itemsOfATry; item += 1) outputOf(item, probe);
    return ((performance.now() - started) * 1000) / itemsOfATry;
  });
  return probe / Math.min(...tries);
}
