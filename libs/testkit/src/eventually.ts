import { setTimeout as sleep } from 'node:timers/promises';

/** Runs `probe` until it answers something but null, undefined or false, and answers that; throws after `withinMs`. */
export async function eventually<Answer>(
  what: string,
  probe: () => Promise<Answer | null | undefined | false> | Answer | null | undefined | false,
  withinMs = 15_000,
): Promise<Answer> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await probe();
    if (answer !== null && answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`it did not come true within ${withinMs} ms: ${what}`);
    await sleep(25);
  }
}
