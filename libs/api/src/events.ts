import { z } from 'zod';
import { batchSchema } from './batch.ts';

const { state, stateReason, counts, itemsPerSecond, etaSeconds } = batchSchema.shape;

/** What `GET /v1/batches/{id}/events` sends, by the name of the event. */
export const eventSchemas = {
  /** At most twice a second, and only when something has changed. */
  progress: z.object({ state, counts, itemsPerSecond, etaSeconds }),
  /** At the start, and whenever it changes. */
  state: z.object({ state, stateReason }),
};

export type ProgressEvent = z.infer<typeof eventSchemas.progress>;
export type StateEvent = z.infer<typeof eventSchemas.state>;

/** An event as a client gets it; `id` is what `Last-Event-ID` goes on from. */
export type BatchEvent = { id: string } & (({ event: 'progress' } & ProgressEvent) | ({ event: 'state' } & StateEvent));
