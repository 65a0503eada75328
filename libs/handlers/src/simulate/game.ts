import type { Event } from './event.ts';
import { orderOf, type Step } from './order.ts';

/** How an event went: teams in the order of the event. */
export interface Outcome {
  /** Position of the team that won; null for a tie. */
  winner: number | null;
  teams: Score[];
}

interface Score {
  points: number;
  tiles: number;
  rows: number;
}

/** An event made ready to be played many times. */
export interface Game {
  teams: { order: Step[]; budgetSeconds: number }[];
  bonuses: number[];
  tilesOfRow: Uint8Array;
  /** Tiles left of each row, of the team that plays. */
  left: Uint8Array;
}

export function prepareGame(event: Event): Game {
  const tilesOfRow = Uint8Array.from(event.board, ({ tiles }) => tiles.length);
  return {
    teams: event.teams.map(({ players, playHours, strategy }) => ({
      order: orderOf(event, strategy),
      budgetSeconds: Math.floor(players * playHours * 3600),
    })),
    bonuses: event.board.map(({ bonus }) => bonus),
    tilesOfRow,
    left: new Uint8Array(tilesOfRow.length),
  };
}

/**
 * Plays all teams through the event, one after another, each with the numbers that `random` gives next.
 *
 * A team's players share its tiles: since attempts do not depend on each other, it is the same to give one player the hours
 * of all. What the team has begun when its hours are over counts nothing.
 *
 * Most points win. Of equal points the team that had them first, play being spread evenly over the event; if that is
 * equal too, nobody wins.
 */
export function play(game: Game, random: () => number): Outcome {
  const teams: Score[] = [];
  let winner: number | null = null;
  let bestPoints = -1;
  let bestAt = Infinity;
  for (let position = 0; position < game.teams.length; position += 1) {
    const score: Score = { points: 0, tiles: 0, rows: 0 };
    teams.push(score);
    const at = playTeam(game, position, random, score);
    if (score.points > bestPoints || (score.points === bestPoints && at < bestAt)) {
      winner = position;
      bestPoints = score.points;
      bestAt = at;
    } else if (score.points === bestPoints && at === bestAt) winner = null;
  }
  return { winner, teams };
}

/** Fills in the score of one team. Answers when it had all its points, as a share of its hours: so teams of any size compare. */
function playTeam(game: Game, position: number, random: () => number, score: Score): number {
  const { order, budgetSeconds } = game.teams[position]!;
  const { left, bonuses } = game;
  left.set(game.tilesOfRow);
  let spent = 0;
  let scoredAt = 0;
  for (let at = 0; at < order.length; at += 1) {
    const { row, points, drops, attemptSeconds, scale } = order[at]!;
    spent += attemptsFor(drops, scale, random) * attemptSeconds;
    if (spent > budgetSeconds) break;
    left[row]! -= 1;
    const bonus = left[row] === 0 ? bonuses[row]! : 0;
    if (left[row] === 0) score.rows += 1;
    score.tiles += 1;
    score.points += points + bonus;
    if (points + bonus > 0) scoredAt = spent;
  }
  return scoredAt === 0 ? 0 : scoredAt / budgetSeconds;
}

/** Attempts until all drops of a tile are there: a sum of geometric numbers, one a drop. */
function attemptsFor(drops: number, scale: number, random: () => number): number {
  let attempts = drops;
  for (let drop = 0; drop < drops; drop += 1) attempts += failuresBefore(scale, random);
  return attempts;
}

/**
 * Failures before the first success, by inverse transform: P(K ≥ k) = (1 − p)^k, so K = ⌊ln U ∕ ln(1 − p)⌋ for a uniform U
 * in (0, 1] (L. Devroye, Non-Uniform Random Variate Generation, 1986, chapter X.2). One draw, whatever the chance; `scale`
 * is 1 ∕ ln(1 − p). U has 32 bits, so what is rarer than 1 in 4 thousand million does not occur.
 */
const failuresBefore = (scale: number, random: () => number): number => Math.floor(Math.log(1 - random()) * scale);
