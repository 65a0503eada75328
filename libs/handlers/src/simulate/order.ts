import type { Event, Team } from './event.ts';

/** A tile as the game walks over it. */
export interface Step {
  row: number;
  points: number;
  drops: number;
  attemptSeconds: number;
  /** 1 ∕ ln(1 − chance), see `failuresBefore` in game.ts. */
  scale: number;
  /** Seconds that it takes one player on average: drops × seconds ∕ chance, the mean of a negative binomial. */
  expectedSeconds: number;
}

/** The tiles in the order in which a team of this strategy does them. It depends on no draw, so it is found once a batch. */
export function orderOf(event: Event, strategy: Team['strategy']): Step[] {
  const rows = stepsOf(event);
  return strategy === 'row-by-row' ? rows.flat() : byPointsPerHour(event, rows);
}

function stepsOf({ board, activities }: Event): Step[][] {
  const byName = new Map(activities.map((activity) => [activity.name, activity]));
  return board.map(({ tiles }, row) =>
    tiles.map(({ activity, drops, points }) => {
      const { attemptSeconds, dropChance } = byName.get(activity)!;
      return {
        row,
        points,
        drops,
        attemptSeconds,
        scale: 1 / Math.log1p(-dropChance),
        expectedSeconds: (drops * attemptSeconds) / dropChance,
      };
    }),
  );
}

/**
 * Greedy: again and again what gives most points for an expected hour, be it one tile or all that is left of a row with
 * its bonus. Of equals the first on the board.
 */
function byPointsPerHour({ board }: Event, rows: readonly Step[][]): Step[] {
  const open = rows.map((row) => [...row]);
  const order: Step[] = [];
  for (let left = rows.flat().length; left > 0;) {
    const best = open
      .flatMap((row, at) =>
        [...row.map((step) => [step]), ...(row.length > 1 ? [row] : [])].map((steps) => {
          const bonus = steps.length === row.length ? board[at]!.bonus : 0;
          return { at, steps, rate: rateOf(steps, bonus) };
        }),
      ) // prettier-ignore
      .reduce((a, b) => (b.rate > a.rate ? b : a));
    order.push(...best.steps);
    open[best.at] = open[best.at]!.filter((step) => !best.steps.includes(step));
    left -= best.steps.length;
  }
  return order;
}

function rateOf(steps: readonly Step[], bonus: number): number {
  const points = steps.reduce((sum, step) => sum + step.points, bonus);
  return points / steps.reduce((sum, step) => sum + step.expectedSeconds, 0);
}
