import type { z } from 'zod';
import type { eventSchema } from './event.ts';

/** What is played where a batch gives no params; the same as examples/simulate/weekend.json. */
export const weekend: z.input<typeof eventSchema> = {
  name: 'Weekend bingo',
  hours: 48,
  activities: [
    { name: 'fishing', attemptSeconds: 15, dropChance: 0.4 },
    { name: 'mining', attemptSeconds: 20, dropChance: 0.25 },
    { name: 'hunting', attemptSeconds: 40, dropChance: 0.2 },
    { name: 'dungeon', attemptSeconds: 150, dropChance: 0.1 },
    { name: 'boss', attemptSeconds: 240, dropChance: 0.02 },
  ],
  board: [
    {
      bonus: 40,
      tiles: [
        { activity: 'fishing', drops: 30, points: 10 },
        { activity: 'mining', drops: 20, points: 10 },
        { activity: 'hunting', drops: 15, points: 15 },
        { activity: 'dungeon', drops: 3, points: 25 },
        { activity: 'boss', drops: 1, points: 30 },
      ],
    },
    {
      bonus: 40,
      tiles: [
        { activity: 'fishing', drops: 40, points: 12 },
        { activity: 'mining', drops: 30, points: 15 },
        { activity: 'hunting', drops: 20, points: 20 },
        { activity: 'dungeon', drops: 6, points: 35 },
        { activity: 'dungeon', drops: 8, points: 30 },
      ],
    },
    {
      bonus: 60,
      tiles: [
        { activity: 'fishing', drops: 20, points: 8 },
        { activity: 'mining', drops: 40, points: 20 },
        { activity: 'hunting', drops: 30, points: 25 },
        { activity: 'boss', drops: 1, points: 50 },
        { activity: 'boss', drops: 2, points: 70 },
      ],
    },
    {
      bonus: 80,
      tiles: [
        { activity: 'hunting', drops: 40, points: 40 },
        { activity: 'mining', drops: 25, points: 15 },
        { activity: 'dungeon', drops: 5, points: 45 },
        { activity: 'dungeon', drops: 10, points: 60 },
        { activity: 'boss', drops: 1, points: 45 },
      ],
    },
    {
      bonus: 120,
      tiles: [
        { activity: 'fishing', drops: 50, points: 20 },
        { activity: 'hunting', drops: 25, points: 30 },
        { activity: 'dungeon', drops: 12, points: 90 },
        { activity: 'boss', drops: 2, points: 100 },
        { activity: 'boss', drops: 3, points: 140 },
      ],
    },
  ],
  teams: [
    { name: 'Foxes', players: 5, playHours: 8, strategy: 'row-by-row' },
    { name: 'Owls', players: 5, playHours: 8, strategy: 'best-points-per-hour' },
    { name: 'Bears', players: 8, playHours: 5, strategy: 'row-by-row' },
    { name: 'Hares', players: 4, playHours: 10, strategy: 'best-points-per-hour' },
  ],
};
