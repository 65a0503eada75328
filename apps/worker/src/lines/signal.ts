/** Wakes one that waits, also when it was given before that began to. */
export function createSignal() {
  let given = false;
  let wake: (() => void) | null = null;
  return {
    give(): void {
      given = true;
      wake?.();
    },
    /** Resolves when it is given, or after so many ms. */
    wait(ms: number): Promise<void> {
      return new Promise((resolve) => {
        const end = (): void => {
          clearTimeout(timer);
          wake = null;
          given = false;
          resolve();
        };
        const timer = setTimeout(end, ms);
        wake = end;
        if (given) end();
      });
    },
  };
}

export type Signal = ReturnType<typeof createSignal>;
