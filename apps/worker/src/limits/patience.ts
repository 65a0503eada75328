import type { Turn } from '../turn.ts';
import type { Ticket } from './gate.ts';

/** A chunk of which nothing has started for so long goes back: it may be another worker's turn. */
const startMaxMs = 10_000;
/** One that cannot step aside comes again after this. */
const backMs = 1000;

export interface PatienceDeps {
  turn: Turn;
  order: number;
  gone: () => boolean;
  stepAside?: (() => boolean) | undefined;
  sliceMs: number;
}

/**
 * How a run waits for what limits its batch. It steps aside, so that other chunks have its hand. It waits until its slice is over, which
 * begins with its first item; without one until it was here for 10 s, or only as long as a slice where too many wait aside.
 */
export function createPatience(ticket: Ticket, { turn, order, gone, stepAside, sliceMs }: PatienceDeps) {
  let isAside: boolean | null = null;
  let since = 0;
  const startLeftMs = (): number => since + (isAside === false ? sliceMs : startMaxMs) - performance.now();

  return {
    async wait(hasStarted: boolean): Promise<void> {
      if (isAside === null) [isAside, since] = [stepAside?.() ?? true, performance.now()];
      const leftMs = hasStarted ? Math.max(20, turn.sliceLeftMs()) : startLeftMs();
      await turn.wait(ticket.wait(order, gone, performance.now() + leftMs));
    },
    /** Nothing has started for too long. */
    isOut: (): boolean => isAside !== null && startLeftMs() <= 0,
    /** How long it is to wait elsewhere. */
    backMs: (): number => (isAside === false ? backMs : 0),
  };
}
