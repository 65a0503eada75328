/** At most `most` at once; the others wait for their turn, in order. */
export function createGate(most: number) {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async function through<Answer>(run: () => Promise<Answer>): Promise<Answer> {
    if (running < most) running += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await run();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      // The place is handed over, so that nobody who comes meanwhile takes it.
      else next();
    }
  };
}
