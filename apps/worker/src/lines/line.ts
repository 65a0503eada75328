import type { Plan } from '../plans.ts';
import type { Hand } from './hand.ts';
import type { Row } from './row.ts';
import type { Signal } from './signal.ts';

/** A line whose turn it is: the open chunks of a batch in a partition that this worker owns. */
export interface Line {
  batch: number;
  line: number;
  /** The fence: under which lease the partition is this worker's. */
  lease: string;
  /** Since when it is. */
  leasedAt: number;
  /** Among all that have their turn: lower ones get free slots first. It moves on while others have its hand (turn.ts). */
  order: number;
  /** The partition is not this worker's any more, or not under this lease: another may have the line. */
  isLost: () => boolean;
  /** It is to be given back, with what is in hand. */
  isGone: () => boolean;
}

/** What claiming, running and flushing of one turn share. */
export interface Held {
  line: Line;
  plan: Plan;
  hand: Hand<Row>;
  /** In hand, in the order of the line. */
  rows: Row[];
  /** What is not flushed yet: items that are final, bytes of their outputs, rows in which anything is new, items to be tried again. */
  fresh: { items: number; bytes: number; rows: number; retried: number };
  /** Items that have answered a promise. */
  open: number;
  /** A flush was refused: another has the line, or a part of it. */
  isFenced: boolean;
  /** Something has happened: look again. */
  signal: Signal;
}
