import { z } from 'zod';

/** Draws of one item at most, over all teams: some 20 ns each, so an item stays below a millisecond. */
const drawsMax = 20_000;
/** Points on a board at most: sums over a thousand million items stay whole numbers. */
const boardPointsMax = 1_000_000;

const rowsMax = 20;
const tilesMax = 20;
const teamsMax = 16;
const activitiesMax = 100;

const within = (min: number, max: number) =>
  z
    .number({ error: `must be a number from ${min} to ${max}` })
    .min(min, { error: `must be at least ${min}` })
    .max(max, { error: `must be at most ${max}` });
const whole = (min: number, max: number) =>
  within(min, max).int({ error: `must be a whole number from ${min} to ${max}` });
const name = z.string().trim().min(1, { error: 'must not be empty' }).max(40, { error: 'may have 40 characters' });
const some = <Item extends z.ZodType>(item: Item, max: number) =>
  z
    .array(item)
    .min(1, { error: 'must hold at least one' })
    .max(max, { error: `may hold ${max}` });

const strategies = ['row-by-row', 'best-points-per-hour'] as const;

/** What a player does over and over: one attempt takes this long and gives a drop with this chance. */
const activitySchema = z.strictObject({
  name,
  attemptSeconds: whole(1, 86_400),
  dropChance: z.number().min(1e-6, { error: 'must be at least 0.000001' }).max(1, { error: 'must be at most 1' }),
});

/** Done when a team has so many drops of the activity. */
const tileSchema = z.strictObject({
  name: name.optional(),
  activity: name,
  drops: whole(1, 1000),
  points: whole(0, 10_000),
});

/** `bonus` points more when all tiles of the row are done. */
const rowSchema = z.strictObject({ bonus: whole(0, 10_000).default(0), tiles: some(tileSchema, tilesMax) });

const teamSchema = z.strictObject({
  name,
  players: whole(1, 1000),
  /** Hours that each of its players plays in all. */
  playHours: within(0, 8784),
  strategy: z.enum(strategies, { error: `must be ${strategies.join(' or ')}` }),
});

const fieldsSchema = z.strictObject({
  name: name.optional(),
  /** How long the event lasts. */
  hours: within(0.1, 8784),
  activities: some(activitySchema, activitiesMax),
  board: some(rowSchema, rowsMax),
  teams: some(teamSchema, teamsMax),
});

/** A bingo event: the params of a batch of `simulate`. docs/workloads/simulate.md says what they mean. */
export const eventSchema = fieldsSchema.superRefine((event, ctx) => {
  for (const { path, message } of faultsOf(event)) ctx.addIssue({ code: 'custom', path, message });
});

export type Event = z.infer<typeof fieldsSchema>;
export type Team = Event['teams'][number];

type Fault = { path: (string | number)[]; message: string };

/** What no field says alone. */
function faultsOf({ hours, activities, board, teams }: Event): Fault[] {
  const known = new Set(activities.map((activity) => activity.name));
  const tiles = board.flatMap((row, r) => row.tiles.map((tile, t) => ({ ...tile, path: ['board', r, 'tiles', t] })));
  const faults: Fault[] = [
    ...twice(activities).map((at) => ({ path: ['activities', at, 'name'], message: 'is used twice' })),
    ...twice(teams).map((at) => ({ path: ['teams', at, 'name'], message: 'is used twice' })),
    ...tiles
      .filter(({ activity }) => !known.has(activity))
      .map(({ path }) => ({ path: [...path, 'activity'], message: 'is no name of an activity' })),
  ];
  for (const [at, { playHours }] of teams.entries()) {
    if (playHours > hours)
      faults.push({ path: ['teams', at, 'playHours'], message: `must be at most hours (${hours})` });
  }
  const draws = teams.length * tiles.reduce((sum, { drops }) => sum + drops, 0);
  if (draws > drawsMax)
    faults.push({ path: ['board'], message: `drops times teams must be at most ${drawsMax}, they are ${draws}` });
  const points = pointsOf(board);
  if (points > boardPointsMax)
    faults.push({
      path: ['board'],
      message: `points and bonuses must be at most ${boardPointsMax}, they are ${points}`,
    });
  return faults;
}

const twice = (named: readonly { name: string }[]): number[] =>
  [...named.keys()].filter((at) => named.findIndex(({ name }) => name === named[at]!.name) < at);

/** All points there are to be had. */
export const pointsOf = (board: Event['board']): number =>
  board.reduce((sum, row) => row.tiles.reduce((points, tile) => points + tile.points, sum + row.bonus), 0);
