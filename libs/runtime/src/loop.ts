import { errorFacts } from './error-facts.ts';
import type { Log } from './log.ts';

/**
 * Runs `once` again and again: `nextMs` after it answered, at once when nudged meanwhile, never twice at the same time.
 * An error is logged and waited out; the loop goes on.
 */
export function createLoop(options: { name: string; log: Log; once: () => Promise<number>; afterErrorMs?: number }) {
  let wake: (() => void) | null = null;
  let nudged = false;
  let stopped = false;

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      if (nudged || stopped) return resolve();
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  async function run(): Promise<void> {
    while (!stopped) {
      nudged = false;
      let nextMs = options.afterErrorMs ?? 500;
      try {
        nextMs = await options.once();
      } catch (error) {
        options.log.error({ loop: options.name, ...errorFacts(error) }, 'failed, will be tried again');
      }
      await pause(nextMs);
    }
  }

  const running = run();
  return {
    nudge(): void {
      nudged = true;
      wake?.();
    },
    async stop(): Promise<void> {
      stopped = true;
      wake?.();
      await running;
    },
  };
}
