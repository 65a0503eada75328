/** Who was given a slot and has to ask for more before it starts has its answer in this time, or another has the slot. */
const soonMs = 50;

/**
 * Leave to have an item in a handler. Only items whose handler answers a promise hold a slot; a synchronous item is over
 * before anybody could notice. Who comes first in the fair order gets the next one: so chunks of a batch end one after the other
 * instead of all at once at the end, and one that comes waits for an item of others, not for all of theirs.
 */
export function createSlots(first: number) {
  let max = first;
  let free = max;
  let ended = 0;
  let wanted = false;
  let itemMs = 0;
  /** Orders of those who were told of one in this turn of the loop, and are about to take it. */
  let told: number[] = [];
  let soon: NodeJS.Timeout | undefined;
  let waiting: { order: number; gone: () => boolean; grant: () => void }[] = [];

  function grantNext(): void {
    if (free <= 0 || waiting.length === 0) return;
    let oldest = 0;
    for (let i = 1; i < waiting.length; i += 1) if (waiting[i]!.order < waiting[oldest]!.order) oldest = i;
    const [next] = waiting.splice(oldest, 1);
    if (told.length === 0) setImmediate(forget);
    told.push(next!.order);
    next!.grant();
  }

  /** What was not taken by then goes on too: others may have come to wait because of it, and who was told need not say so. */
  function forget(): void {
    told = [];
    if (free > 0) passSoon();
  }

  function grantFree(): void {
    for (let grants = Math.min(free, waiting.length); grants > 0; grants -= 1) grantNext();
  }

  function passSoon(): void {
    if (waiting.length === 0) return;
    soon ??= setTimeout(() => {
      soon = undefined;
      grantFree();
    }, soonMs);
  }

  return {
    get max(): number {
      return max;
    },
    /** What an item takes from its start to its answer, smoothed; 0: none has answered a promise yet. */
    get itemMs(): number {
      return itemMs;
    },
    get free(): number {
      return free;
    },
    /** There is one beside those that are others' by their order: whose item has just ended looks before who was told of its slot. */
    isFreeFor(order: number): boolean {
      if (free <= 0 || waiting.length + told.length === 0) return free > 0;
      const before = (other: number): boolean => other <= order;
      return free > told.filter(before).length + waiting.filter((each) => before(each.order)).length;
    },
    take(): void {
      free -= 1;
    },
    /** An item is over, which took so long. */
    release(ms = 0): void {
      ended += 1;
      itemMs += (ms - itemMs) / (itemMs === 0 ? 1 : 64);
      free += 1;
      grantNext();
    },
    /** It waits for something else meanwhile: another may have its slot. */
    lend(): void {
      free += 1;
      grantNext();
    },
    /** From now on there are so many. Fewer: no more are given until enough have come back. */
    resize(to: number): void {
      free += to - max;
      max = to;
      grantFree();
    },
    /** How many items ended since the last time, and whether any had to wait for a slot. */
    takeCounts(): { ended: number; wanted: boolean } {
      const counts = { ended, wanted: wanted || waiting.length > 0 };
      [ended, wanted] = [0, false];
      return counts;
    },
    /** A grant that is not used. */
    pass: grantNext,
    /** One that is used in a moment, or not at all. */
    passSoon,
    /** Resolves when a slot may be free, or when it was dismissed; look again. */
    wait(order: number, gone: () => boolean): Promise<void> {
      wanted = true;
      return new Promise((grant) => {
        waiting.push({ order, gone, grant });
        if (told.length === 0) grantNext();
      });
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

/** What an item takes and gives back. */
export type Places = Pick<Slots, 'free' | 'take' | 'release' | 'lend' | 'pass' | 'wait'>;

/** Of items that are called elsewhere, in a process or a thread: there is room for them here, and they wait for it there. */
export const elsewhere: Places = {
  free: Infinity,
  take: () => undefined,
  release: () => undefined,
  lend: () => undefined,
  pass: () => undefined,
  wait: () => Promise.resolve(),
};
