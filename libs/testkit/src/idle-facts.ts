import type { WorkerFacts } from '@bullpen/db';

/** What a worker says of itself that has done nothing yet. */
export const idleFacts: WorkerFacts = {
  chunksInFlight: 0,
  chunksMax: 8,
  itemsDone: 0,
  itemsPerSecond: 0,
  chunksPerSecond: 0,
  turnaroundMs: 0,
  roundTripMs: { redis: 0, postgres: 0 },
};
