/**
 * Leave to have an item in a handler. Only items whose handler answers a promise hold a slot; a synchronous item is over
 * before anybody could notice. Who waits longest by the age of its chunk gets the next one, so that chunks end one
 * after the other instead of all at once at the end.
 */
export function createSlots(max: number) {
  let free = max;
  let waiting: { order: number; gone: () => boolean; grant: () => void }[] = [];

  function grantNext(): void {
    if (free <= 0 || waiting.length === 0) return;
    let oldest = 0;
    for (let i = 1; i < waiting.length; i += 1) if (waiting[i]!.order < waiting[oldest]!.order) oldest = i;
    const [next] = waiting.splice(oldest, 1);
    next!.grant();
  }

  return {
    max,
    get free(): number {
      return free;
    },
    take(): void {
      free -= 1;
    },
    release(): void {
      free += 1;
      grantNext();
    },
    /** A grant that is not used. */
    pass: grantNext,
    /** Resolves when a slot may be free, or when it was dismissed; look again. */
    wait(order: number, gone: () => boolean): Promise<void> {
      return new Promise((grant) => waiting.push({ order, gone, grant }));
    },
    /** Sends away those that will start nothing more: behind an older chunk they would wait as long as that takes. */
    dismiss(): void {
      const leaving = waiting.filter(({ gone }) => gone());
      waiting = waiting.filter((each) => !leaving.includes(each));
      for (const { grant } of leaving) grant();
    },
  };
}

export type Slots = ReturnType<typeof createSlots>;
