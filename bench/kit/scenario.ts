import type { Servers } from './servers.ts';

/** What was asked for on the command line. Numbers that are not set: the scenario's own. */
export interface Asked {
  items: number | undefined;
  workers: number | undefined;
  runs: number;
  /** Smaller sizes, and no peers but the nearest: all scenarios together in under five minutes. */
  quick: boolean;
}

/** Runs where none were asked for. */
export const runsOf = (quick: boolean): number => (quick ? 1 : 3);

export interface Bench {
  servers: Servers;
  asked: Asked;
  /** One line of progress. */
  say: (line: string) => void;
}

/** One thing that is measured, in every run once: named figures, larger ones first in a plot. */
export interface Variant {
  label: string;
  measure: () => Promise<Figures>;
}

export type Figures = Record<string, number>;

/** All runs of one variant. */
export interface Measured {
  label: string;
  runs: Figures[];
  /** Words of this row, by the head of their column. */
  words?: Record<string, string>;
}

/** A line of docs/rates.md: the target, and what came out. `ok` null: nothing to be held, only to be compared with. */
export interface Verdict {
  target: string;
  asks: string;
  found: string;
  ok: boolean | null;
}

export interface Report {
  tables: { title: string; rows: Measured[] }[];
  verdicts: Verdict[];
  /** What took the time, as lines. */
  remarks: string[];
}

export interface Scenario {
  name: string;
  title: string;
  /** Numbers of docs/rates.md that it shows. */
  targets: string[];
  /** Which of these it heeds; default both. */
  takes?: readonly ('items' | 'workers')[];
  /** One of the five systems that this one grew from, as a workload: `seeds` runs them all, `all` none. */
  isSeed?: true;
  /** Runs only when it is named: it takes long, and shows no target. */
  isAside?: true;
  run: (bench: Bench) => Promise<Report>;
}
