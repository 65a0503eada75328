/**
 * Chunks run in company, a suspect runs alone: nothing else is in this worker's hands meanwhile, so that whatever dies
 * with it is its own doing. Suspects go first, one after the other: the time in which others wait is short when it is
 * in one piece.
 */
export function createCompany() {
  const suspects: (() => void)[] = [];
  const others: (() => void)[] = [];
  let together = 0;
  let alone = false;

  function next(): void {
    if (alone) return;
    if (suspects.length > 0) {
      if (together > 0) return;
      alone = true;
      return suspects.shift()!();
    }
    for (const enter of others.splice(0)) {
      together += 1;
      enter();
    }
  }

  const enter = (queue: (() => void)[]): Promise<void> =>
    new Promise((resolve) => {
      queue.push(resolve);
      next();
    });

  return {
    /** Runs beside others. */
    async join<Answer>(run: () => Promise<Answer>): Promise<Answer> {
      await enter(others);
      try {
        return await run();
      } finally {
        together -= 1;
        next();
      }
    },
    /** Waits until nothing runs, and lets nothing else begin until it is over. Not from inside of `join`. */
    async alone<Answer>(run: () => Promise<Answer>): Promise<Answer> {
      await enter(suspects);
      try {
        return await run();
      } finally {
        alone = false;
        next();
      }
    },
  };
}

export type Company = ReturnType<typeof createCompany>;
