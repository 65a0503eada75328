import { z } from 'zod';
import { handlerLimitsSchema } from './limits.ts';
import { listOf } from './page.ts';

/** A handler that batches can name. `input` and `params` are JSON schemas; null takes anything. */
export const handlerSchema = z.object({
  name: z.string(),
  description: z.string(),
  input: z.record(z.string(), z.unknown()).nullable(),
  params: z.record(z.string(), z.unknown()).nullable(),
  /** Items of a chunk where the batch does not say; null: the service's CHUNK_SIZE. */
  chunkSize: z.number().int().nullable(),
  /** Its batches may ask for `dryRun`. */
  dryRun: z.boolean(),
  /** What all its batches together are limited to. */
  limits: handlerLimitsSchema,
});

/** A worker that was seen within a lease. */
export const workerSchema = z.object({
  id: z.uuid(),
  name: z.string(),
  host: z.string(),
  pid: z.number().int(),
  startedAt: z.iso.datetime(),
  heartbeatAt: z.iso.datetime(),
  /** Items in handlers at once. */
  concurrency: z.number().int(),
  chunksInFlight: z.number(),
  partitions: z.array(z.number().int()),
  itemsDone: z.number(),
  itemsPerSecond: z.number(),
  roundTripMs: z.object({ redis: z.number().nullable(), postgres: z.number() }),
  /** It takes no more and ends. */
  draining: z.boolean(),
  /** Partitions that its settings pin it to; null: it takes its fair share. */
  pins: z.array(z.number().int()).nullable(),
  /** Name of the worker that started earlier and has some of these pins: this one runs unpinned until that one is gone. */
  pinsHeldBy: z.string().nullable(),
  /** Id of the worker whose partitions it serves too, since it owns none; null: it helps nobody. */
  helping: z.uuid().nullable(),
  /** Why it has no partition to work on; null where it has one. */
  idle: z.string().nullable(),
});

/** A partition queue. */
export const partitionSchema = z.object({
  partition: z.number().int(),
  /** Id of the worker that owns it; null while none does. */
  owner: z.uuid().nullable(),
  ownerName: z.string().nullable(),
  /** When it took it, and until when it has it unless it renews. */
  takenAt: z.iso.datetime().nullable(),
  expiresAt: z.iso.datetime().nullable(),
  /** Name of the live worker whose pins name it. */
  pinnedTo: z.string().nullable(),
  /** Nobody takes it: it is pinned to a worker that is away, but not for three leases. */
  reserved: z.boolean(),
  /** Names of the workers without a partition of their own that serve it too. */
  helpers: z.array(z.string()),
  /** Counts the owners it has had. */
  epoch: z.number().int(),
  /** Chunks that wait in the queue. */
  backlog: z.number().int(),
  /** Chunks in a worker's hands. */
  running: z.number().int(),
  /** Age of the oldest chunk that waits; null where none does. */
  oldestMs: z.number().nullable(),
});

export const handlerListSchema = listOf(handlerSchema);
export const workerListSchema = listOf(workerSchema);
export const partitionListSchema = listOf(partitionSchema);

export type HandlerAnswer = z.infer<typeof handlerSchema>;
export type WorkerAnswer = z.infer<typeof workerSchema>;
export type PartitionAnswer = z.infer<typeof partitionSchema>;
