import { readdir, readFile } from 'node:fs/promises';
import { createRandom, encodeReduced, mergeReduced, runHandler, summarize, summaryOf } from '@bullpen/handlers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import simulate from '../src/simulate.ts';
import { type Event, eventSchema, pointsOf } from '../src/simulate/event.ts';
import { weekend } from '../src/simulate/example.ts';
import { type Outcome, play, prepareGame } from '../src/simulate/game.ts';
import { orderOf } from '../src/simulate/order.ts';
import type { SimulateSummary } from '../src/simulate/summary.ts';

const example = eventSchema.parse(weekend);
const teamOf = (changes: object): Event['teams'][number] => ({
  name: 'T',
  players: 2,
  playHours: 4,
  strategy: 'row-by-row',
  ...changes,
});
const eventOf = (board: Event['board'], changes: Partial<Event> = {}): Event => ({
  hours: 48,
  activities: [
    { name: 'sure', attemptSeconds: 60, dropChance: 1 },
    { name: 'even', attemptSeconds: 60, dropChance: 0.5 },
  ],
  board,
  teams: [teamOf({})],
  ...changes,
});
const playMany = (event: Event, items: number, seed = 1): Outcome[] => {
  const game = prepareGame(event);
  return Array.from({ length: items }, (_, index) => play(game, createRandom(seed, index)));
};
const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const tile = (activity: string, drops: number, points: number) => ({ activity, drops, points });

const anyEvent = fc
  .record({
    chance: fc.double({ min: 1e-3, max: 1, noNaN: true }),
    board: fc.array(
      fc.record({
        bonus: fc.integer({ min: 0, max: 500 }),
        tiles: fc.array(
          fc.record({ activity: fc.constant('a'), drops: fc.integer({ min: 1, max: 9 }), points: fc.integer({ min: 0, max: 999 }) }),
          { minLength: 1, maxLength: 5 },
        ),
      }),
      { minLength: 1, maxLength: 5 },
    ),
    teams: fc.array(
      fc.record({
        players: fc.integer({ min: 1, max: 9 }),
        playHours: fc.double({ min: 0, max: 48, noNaN: true }),
        strategy: fc.constantFrom('row-by-row' as const, 'best-points-per-hour' as const),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  })
  .map(({ chance, board, teams }) =>
    eventSchema.parse({
      hours: 48,
      activities: [{ name: 'a', attemptSeconds: 600, dropChance: chance }],
      board,
      teams: teams.map((team, at) => ({ ...team, name: `T${at}` })),
    }),
  ); // prettier-ignore

describe('the game', () => {
  it('needs as many attempts as the geometric distribution says', () => {
    const event = eventOf([{ bonus: 0, tiles: [tile('even', 1, 1), tile('even', 1, 1)] }], {
      teams: [teamOf({ players: 1, playHours: 2 / 60 })],
    });
    // Two attempts: both tiles are done with 1/4, one with 1/2 (first or second attempt, not both), none with 1/4.
    const tiles = playMany(event, 20_000).map(({ teams }) => teams[0]!.tiles);
    const share = (n: number): number => tiles.filter((each) => each === n).length / tiles.length;
    expect(share(0)).toBeCloseTo(0.25, 1);
    expect(share(1)).toBeCloseTo(0.5, 1);
    expect(share(2)).toBeCloseTo(0.25, 1);
    const rare = eventOf([{ bonus: 0, tiles: Array.from({ length: 20 }, () => tile('rare', 1, 1)) }], {
      hours: 8000,
      activities: [{ name: 'rare', attemptSeconds: 60, dropChance: 0.01 }],
      teams: [teamOf({ players: 1, playHours: 1000 / 60 })],
    });
    // A thousand attempts of 1 in 100 give ten drops on average.
    expect(mean(playMany(rare, 4000).map(({ teams }) => teams[0]!.tiles))).toBeCloseTo(10, 0);
  });

  it('counts what is done within the hours, and a bonus with the last tile of its row', () => {
    const board = [
      { bonus: 100, tiles: [tile('sure', 60, 1), tile('sure', 60, 2)] },
      { bonus: 1000, tiles: [tile('sure', 60, 4)] },
    ];
    const after = (playHours: number): Outcome['teams'][number] =>
      playMany(eventOf(board, { teams: [teamOf({ players: 1, playHours })] }), 1)[0]!.teams[0]!;
    expect(after(0.99)).toEqual({ points: 0, tiles: 0, rows: 0 });
    expect(after(1)).toEqual({ points: 1, tiles: 1, rows: 0 });
    expect(after(2.5)).toEqual({ points: 103, tiles: 2, rows: 1 });
    expect(after(3)).toEqual({ points: 1107, tiles: 3, rows: 2 });
  });

  it('lets the team win that had equal points first, and nobody when that is equal too', () => {
    const board = [{ bonus: 0, tiles: [tile('sure', 60, 5)] }];
    const winner = (teams: Event['teams']): number | null => playMany(eventOf(board, { teams }), 1)[0]!.winner;
    const [slow, fast] = [teamOf({ players: 1, playHours: 2 }), teamOf({ name: 'U', players: 3, playHours: 2 })];
    expect(winner([slow, fast])).toBe(1);
    expect(winner([fast, slow])).toBe(0);
    expect(winner([slow, { ...slow, name: 'V' }])).toBeNull();
    expect(winner([slow, { ...slow, name: 'V' }, fast])).toBe(2);
    expect(winner([teamOf({ playHours: 0 }), teamOf({ name: 'V', playHours: 0 })])).toBeNull();
  });

  it('goes by points an expected hour where the strategy says so, a row with its bonus being one step', () => {
    const board = [
      { bonus: 0, tiles: [tile('sure', 10, 1), tile('sure', 1, 50)] },
      { bonus: 500, tiles: [tile('even', 10, 10), tile('sure', 10, 5)] },
      { bonus: 0, tiles: [tile('even', 1, 40)] },
    ];
    const order = (strategy: Event['teams'][number]['strategy']) =>
      orderOf(eventOf(board), strategy).map(({ points }) => points);
    expect(order('row-by-row')).toEqual([1, 50, 10, 5, 40]);
    expect(order('best-points-per-hour')).toEqual([50, 40, 10, 5, 1]);
  });

  it('stays within the board, and has more of it with more hours', () => {
    fc.assert(
      fc.property(anyEvent, fc.integer({ min: 0, max: 2 ** 32 - 1 }), (event, seed) => {
        const outcomes = playMany(event, 20, seed);
        expect(playMany(event, 20, seed)).toEqual(outcomes);
        const tiles = event.board.reduce((sum, row) => sum + row.tiles.length, 0);
        for (const { teams, winner } of outcomes) {
          for (const team of teams) {
            expect(team.points).toBeLessThanOrEqual(pointsOf(event.board));
            expect(team.tiles).toBeLessThanOrEqual(tiles);
            expect(team.rows).toBeLessThanOrEqual(event.board.length);
          }
          const best = Math.max(...teams.map(({ points }) => points));
          if (winner !== null) expect(teams[winner]!.points).toBe(best);
        }
        // The same draws, one team: more hours go at least as far along the same way.
        const alone = (playHours: number) =>
          playMany({ ...event, teams: [{ ...event.teams[0]!, playHours }] }, 20, seed).map(({ teams }) => teams[0]!);
        const [few, many] = [alone(event.teams[0]!.playHours / 2), alone(event.teams[0]!.playHours)];
        for (const [at, team] of few.entries()) expect(team.tiles).toBeLessThanOrEqual(many[at]!.tiles);
      }),
      { numRuns: 50 },
    );
  });
});

describe('an event', () => {
  const wide = Array.from({ length: 20 }, () => tile('sure', 1000, 9000));

  it.each([
    ['an unknown activity', { board: [{ tiles: [tile('nothing', 1, 1)] }] }, 'board.0.tiles.0.activity', 'is no name of an activity'],
    ['more hours than the event has', { teams: [teamOf({ playHours: 49 })] }, 'teams.0.playHours', 'must be at most hours (48)'],
    ['two teams of one name', { teams: [teamOf({}), teamOf({})] }, 'teams.1.name', 'is used twice'],
    ['an unknown strategy', { teams: [teamOf({ strategy: 'luck' })] }, 'teams.0.strategy', 'must be row-by-row or best-points-per-hour'],
    ['too many draws', { board: [{ tiles: wide }], teams: [teamOf({}), teamOf({ name: 'U' })] }, 'board', 'drops times teams must be at most 20000, they are 40000'],
    ['too many points', { board: Array.from({ length: 6 }, () => ({ tiles: wide.map((each) => ({ ...each, drops: 1 })) })) }, 'board', 'points and bonuses must be at most 1000000, they are 1080000'],
    ['a number out of range', { hours: 9000 }, 'hours', 'must be at most 8784'],
    ['a field that nobody knows', { prizes: 3 }, '', expect.stringContaining('prizes')],
  ])('with %s is refused with the place', (_, changes, path, message) => {
    const { error } = eventSchema.safeParse({ ...eventOf([{ bonus: 0, tiles: [tile('sure', 1, 1)] }]), ...changes });
    expect(error!.issues.map((issue) => [issue.path.join('.'), issue.message])).toEqual([[path, message]]);
  }); // prettier-ignore

  it('of the examples can be played, and the one in the handler is weekend.json', async () => {
    const files = await readdir('examples/simulate');
    expect(files.sort()).toEqual(['long-odds.json', 'season.json', 'weekend.json']);
    for (const file of files) {
      const params: unknown = JSON.parse(await readFile(`examples/simulate/${file}`, 'utf8'));
      const outputs = await runHandler(simulate, Array(50).fill(undefined), { params, seed: 3 });
      const summary = summarize(simulate, outputs, { params }) as SimulateSummary;
      const won = summary.teams.reduce((sum, { wins }) => sum + wins, summary.ties);
      expect([won, new Set(summary.teams.map(({ strategy }) => strategy)).size]).toEqual([50, 2]);
      if (file === 'weekend.json') expect(params).toEqual(weekend);
    }
  });

  it('takes no inputs', async () => {
    await expect(runHandler(simulate, [{}])).rejects.toThrow(/takes no inputs/);
  });
});

describe('the summary', () => {
  const outputs = playMany(example, 200);
  const { reduce } = simulate;

  it('says what the outputs say', () => {
    const summary = summarize(simulate, outputs) as SimulateSummary;
    const points = outputs.map(({ teams }) => teams[1]!.points).sort((a, b) => a - b);
    const { binPoints } = summary;
    const binOf = (value: number): number => Math.floor(value / binPoints) * binPoints;
    expect(summary).toMatchObject({ items: 200, ties: outputs.filter(({ winner }) => winner === null).length });
    expect(summary.teams[1]).toMatchObject({
      name: 'Owls',
      strategy: 'best-points-per-hour',
      wins: outputs.filter(({ winner }) => winner === 1).length,
      points: { mean: mean(points), p5: binOf(points[9]!), p50: binOf(points[99]!), p95: binOf(points[189]!) },
      tiles: { mean: mean(outputs.map(({ teams }) => teams[1]!.tiles)) },
      rows: { mean: mean(outputs.map(({ teams }) => teams[1]!.rows)) },
    });
  });

  it('is equal to the byte, however the outputs were grouped and in whatever order', () => {
    const fold = (indexes: readonly number[]): string => {
      let tally = reduce!.zero(example);
      for (const index of indexes) tally = reduce!.add(tally, outputs[index]!, index, example);
      return encodeReduced(tally);
    };
    const all = [...outputs.keys()];
    const whole = JSON.stringify(summaryOf(reduce!, fold(all), example));
    expect(JSON.stringify(summarize(simulate, outputs))).toBe(whole);
    fc.assert(
      fc.property(
        fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length }),
        fc.array(fc.nat(all.length), { maxLength: 8 }),
        fc.boolean(),
        (shuffled, cuts, backwards) => {
          const edges = [0, ...cuts.sort((a, b) => a - b), all.length];
          const parts = edges.slice(1).map((to, at) => fold(shuffled.slice(edges[at], to)));
          const left = mergeReduced(reduce!, backwards ? parts.toReversed() : parts);
          const right = parts.reduceRight((a, b) => mergeReduced(reduce!, [b, a]));
          expect(right).toBe(left);
          expect(JSON.stringify(summaryOf(reduce!, left, example))).toBe(whole);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('has another digest when one item went another way', () => {
    const digest = (of: Outcome[]): number => (summarize(simulate, of) as SimulateSummary).digest;
    const changed = outputs.map((each, at) => (at === 77 ? { ...each, teams: each.teams.toReversed() } : each));
    const swapped = outputs.with(0, outputs[1]!).with(1, outputs[0]!);
    expect(new Set([digest(outputs), digest(changed), digest(swapped)]).size).toBe(3);
  });
});
