import type { Event } from './event.ts';
import { binPointsOf, type Tally } from './tally.ts';

/** What a batch of `simulate` shows. Teams stand in the order of the event. */
export interface SimulateSummary {
  items: number;
  /** Items in which nobody won. */
  ties: number;
  /** Equal for two runs whose items all went the same. */
  digest: number;
  /** Percentiles are multiples of this; 1: they are exact. */
  binPoints: number;
  teams: {
    name: string;
    strategy: string;
    wins: number;
    winRate: number;
    points: { mean: number; p5: number; p50: number; p95: number };
    tiles: { mean: number };
    rows: { mean: number };
  }[];
}

export function summaryOf({ items, ties, digest, teams }: Tally, event: Event): SimulateSummary {
  const binPoints = binPointsOf(event);
  return {
    items,
    ties,
    digest,
    binPoints,
    teams: teams.map(({ wins, points, tiles, rows, bins }, position) => {
      const { name, strategy } = event.teams[position]!;
      const percentile = (share: number): number => binAt(bins, share * items) * binPoints;
      return {
        name,
        strategy,
        wins,
        winRate: rounded(wins / items, 6),
        points: { mean: rounded(points / items, 3), p5: percentile(0.05), p50: percentile(0.5), p95: percentile(0.95) },
        tiles: { mean: rounded(tiles / items, 3) },
        rows: { mean: rounded(rows / items, 3) },
      };
    }),
  };
}

/** Nearest rank: the first bin up to which `rank` items lie, so a value that occurred, rounded down to its bin. */
function binAt(bins: readonly number[], rank: number): number {
  let seen = 0;
  return bins.findIndex((count) => (seen += count) > 0 && seen >= rank);
}

const rounded = (value: number, digits: number): number => Math.round(value * 10 ** digits) / 10 ** digits;
