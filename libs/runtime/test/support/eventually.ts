import { setTimeout as delay } from 'node:timers/promises';

/** Polls until `look` gives something truthy, and returns it. */
export async function eventually<T>(look: () => T | Promise<T>, withinMs = 20_000): Promise<NonNullable<T>> {
  for (const began = Date.now(); ; await delay(20)) {
    const found = await look();
    if (found) return found;
    if (Date.now() - began > withinMs) throw new Error(`not within ${withinMs} ms: ${look.toString()}`);
  }
}
