import { z } from 'zod';

/** What is used where a batch does not say. */
export const optionDefaults = { maxAttempts: 3, backoffMs: 1000, timeoutMs: 300_000 } as const;

export const seedMax = 2 ** 32 - 1;

const whole = (min: number, max: number) =>
  z
    .number({ error: `must be a whole number from ${min} to ${max}` })
    .int({ error: `must be a whole number from ${min} to ${max}` })
    .min(min, { error: `must be at least ${min}` })
    .max(max, { error: `must be at most ${max}` });

/** Options of a batch that are built. */
export const optionsSchema = z.strictObject({
  /** Items of a chunk; the default uses all workers also for a small batch. */
  chunkSize: whole(1, 10_000).optional(),
  /** How often an item is tried. */
  maxAttempts: whole(1, 25).optional(),
  /** The wait before the second attempt, in ms; it doubles, with jitter, up to an hour. */
  backoffMs: whole(0, 3_600_000).optional(),
  /** How long one attempt of an item may take, in ms, at most a day; it then counts as failed with the code `timeout`. */
  timeoutMs: whole(1, 86_400_000).optional(),
  /** With the same seed handlers draw the same random numbers. A random one is chosen and stored where none is given. */
  seed: whole(0, seedMax).optional(),
  /** The batch takes more items until it is closed. */
  open: z.boolean({ error: 'must be true or false' }).optional(),
  /** Of NDJSON and CSV: a line that cannot be taken refuses all, or is recorded as an item that has failed. */
  onInvalid: z.enum(['refuse', 'skip'], { error: 'must be refuse or skip' }).optional(),
});

export type Options = z.infer<typeof optionsSchema>;

/** The options that a batch runs with, as they are stored and shown. `chunkSize` only where it was given. */
export const effectiveOptionsSchema = z.object({
  chunkSize: z.number().int().optional(),
  maxAttempts: z.number().int(),
  backoffMs: z.number().int(),
  timeoutMs: z.number().int(),
  seed: z.number().int(),
  /** Of a batch that came as CSV: its header. */
  columns: z.array(z.string()).optional(),
});

export type EffectiveOptions = z.infer<typeof effectiveOptionsSchema>;

/** Options of the contract that later releases bring: refused with `unsupported-option`, never ignored. */
export const optionsNotBuilt: ReadonlySet<string> = new Set([
  'priority', 'weight', 'groupBy', 'ordered', 'groupConcurrency', 'concurrency', 'rateLimit', 'maxFailures',
  'maxFailureRate', 'canary', 'keepResults', 'notBefore', 'dryRun', 'webhook',
]); // prettier-ignore
