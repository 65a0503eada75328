import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';
import { type Event, eventSchema } from './simulate/event.ts';
import { weekend } from './simulate/example.ts';
import { type Game, play, prepareGame } from './simulate/game.ts';
import { summaryOf } from './simulate/summary.ts';
import { addOutcome, binPointsOf, emptyTally, mergeTallies } from './simulate/tally.ts';

interface Ready {
  game: Game;
  binPoints: number;
}

/** Made once for the params of a batch in a worker, and gone with them. */
const prepared = new WeakMap<Event, Ready>();

function prepare(event: Event): Ready {
  let ready = prepared.get(event);
  if (ready === undefined) prepared.set(event, (ready = { game: prepareGame(event), binPoints: binPointsOf(event) }));
  return ready;
}

export default defineHandler({
  name: 'simulate',
  description: 'Plays a bingo event {params} once an item and sums up who wins (docs/workloads/simulate.md)',
  input: z.never({ error: 'simulate takes no inputs: send count, and the event as params' }),
  params: eventSchema.prefault(weekend),
  run: (_, ctx) => play(prepare(ctx.params).game, ctx.random),
  reduce: {
    zero: emptyTally,
    add: (tally, outcome, index, event) => addOutcome(tally, outcome, index, prepare(event).binPoints),
    merge: mergeTallies,
    summary: summaryOf,
  },
});
