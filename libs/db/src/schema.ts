import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  doublePrecision,
  index,
  integer,
  json,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';

/**
 * The tables. Words are those of docs/architecture.md.
 *
 * Batch  `running ⇄ paused → completed | cancelled`, `completed → running` by retry.
 * Chunk  `pending → queued → running → done`; a rest is a new row, a chunk never goes back from `done`.
 *
 * What Drizzle cannot say was written into the migrations by hand: `results` and `inputs` are partitioned by range of batch
 * number, the sequence `batches_no` ends where the last range ends, fill factors, autovacuum, lz4 (docs/schema.md).
 */

const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });

/** One row: what was fixed when this database was first used. */
export const installation = pgTable('installation', {
  one: boolean().primaryKey().default(true),
  id: uuid().notNull().defaultRandom(),
  partitions: smallint().notNull(),
  /** Of the owners: what was served least of all that wait, so that who comes back does not catch up on its absence. */
  virtual: doublePrecision().notNull().default(0),
  createdAt: at('created_at').notNull().defaultNow(),
});

export const batches = pgTable(
  'batches',
  {
    /** Short key inside; never shown. */
    no: integer()
      .primaryKey()
      .default(sql`nextval('batches_no'::regclass)`),
    /** UUID v7, made by the producer before the first try: it makes accept repeatable. */
    id: uuid().notNull().unique(),
    kind: text({ enum: ['batch', 'jobs'] })
      .notNull()
      .default('batch'),
    name: text(),
    owner: text().notNull().default(''),
    handler: text().notNull(),
    state: text({ enum: ['running', 'paused', 'completed', 'cancelled'] }).notNull(),
    reason: text({ enum: ['user', 'max-failures', 'canary'] }),
    /** No more items come. */
    sealed: boolean().notNull().default(true),
    total: bigint({ mode: 'number' }).notNull(),
    succeeded: bigint({ mode: 'number' }).notNull().default(0),
    failed: bigint({ mode: 'number' }).notNull().default(0),
    /** Place in the fair order: what was published of it, over its weight. */
    pass: doublePrecision().notNull().default(0),
    weight: integer().notNull().default(1),
    /** The same among the batches of its handler, where that is limited; null: it starts at what is served there. */
    handlerPass: doublePrecision('handler_pass'),
    /** 0 first; an offset in `pass` where it starts. */
    priority: smallint().notNull().default(0),
    /** Its items have group keys: its chunks stand in lines. */
    keyed: boolean().notNull().default(false),
    /** `place` of item 0 in what is put into its lines from now on: what is retried comes after all that was there. */
    base: bigint({ mode: 'number' }).notNull().default(0),
    /** Items that may be queued or running at once, where it is limited; one chunk may be in any case. */
    flightMax: integer('flight_max'),
    /** It pauses at so many failed items; null: at any number none. */
    maxFailures: integer('max_failures'),
    /** It pauses when more than this part of what is final has failed, from the hundredth item on. */
    maxFailureRate: doublePrecision('max_failure_rate'),
    /** Items from this index on are held back until somebody resumes it. */
    holdAt: bigint('hold_at', { mode: 'number' }),
    /** Nothing of it is published before. */
    notBefore: at('not_before'),
    /** When its webhook is due, once it is completed; null: it has none, or nothing is left to send. */
    tellAt: at('tell_at'),
    params: json(),
    options: json().notNull(),
    createdAt: at('created_at').notNull().defaultNow(),
    /** First publication. */
    startedAt: at('started_at'),
    finishedAt: at('finished_at'),
  },
  (t) => [
    index('batches_running')
      .on(t.owner, t.pass, t.no)
      .where(sql`${t.state} = 'running'`),
    uniqueIndex('batches_rolling')
      .on(t.owner, t.handler)
      .where(sql`${t.kind} = 'jobs' and not ${t.sealed}`),
    index('batches_listed').on(t.owner, t.id),
    index('batches_open')
      .on(t.no)
      .where(sql`not ${t.sealed}`),
    index('batches_ended')
      .on(t.finishedAt)
      .where(sql`${t.finishedAt} is not null`),
    index('batches_to_tell')
      .on(t.tellAt)
      .where(sql`${t.state} = 'completed' and ${t.tellAt} is not null`),
  ],
);

/** Whom the completion of a batch is told, and what has come of it (statements/tell.ts). */
export const webhooks = pgTable('webhooks', {
  batch: integer().primaryKey(),
  url: text().notNull(),
  /** Of the url, with its port: one that is slow holds up no other. */
  host: text().notNull(),
  /** Signs what is sent. It is read by the statement that takes what is due, and by nothing else. */
  secret: text().notNull(),
  state: text({ enum: ['waiting', 'delivered', 'failed'] })
    .notNull()
    .default('waiting'),
  /** Id of this completion, the same for all tries; null: nothing of it was sent yet. */
  delivery: uuid(),
  attempts: integer().notNull().default(0),
  /** When the first try began. */
  since: at('since'),
  lastStatus: integer('last_status'),
  lastError: text('last_error'),
});

/** `pending` waits here, `queued` stands in BullMQ, `running` is in a worker's hands, `done` is settled. */
export const chunks = pgTable(
  'chunks',
  {
    no: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    batch: integer().notNull(),
    /** First index; with `size` the items, unless `picks` names them. */
    first: bigint({ mode: 'number' }).notNull(),
    /** Items to run; of a done chunk the items it made final, of one that a retry left those that are not final any more, below 0. */
    size: integer().notNull(),
    /**
     * `inputs.first` of the row that holds the inputs; null in a count batch. Item i is element i − src. −1: it stands for all done
     * chunks of an open batch whose inputs are gone (statements/trim.ts).
     */
    src: bigint({ mode: 'number' }),
    /** Instead of `src`, where items of several rows of inputs came together in one rest; item i is in the last that is ≤ i. */
    srcs: bigint({ mode: 'number' }).array(),
    picks: bigint({ mode: 'number' }).array(),
    /** Of a keyed batch: the partition of its group keys. The open chunks of a batch and a partition are a line, by `place`. */
    line: smallint(),
    place: bigint({ mode: 'number' }),
    /** Counts the flushes of a chunk in a line: what is left of it stays the same row, and keeps its place. */
    round: integer().notNull().default(0),
    /** Items of a chunk in a line that earlier flushes made final, as long as it is not done. */
    settled: integer().notNull().default(0),
    /** Items of a chunk in a line that are tried again: [index, attempt, ms from `tried_at`, what ended the process of the last one]. */
    tries: json(),
    triedAt: at('tried_at'),
    state: text({ enum: ['pending', 'queued', 'running', 'done'] })
      .notNull()
      .default('pending'),
    /** Queue it was bound to when it was marked. */
    partition: smallint(),
    /** Counts the publications; part of the job id, so that a stale job never blocks a new one. No fence. */
    generation: integer().notNull().default(0),
    /** The fence: the random id of the claim statement that took it. */
    claim: uuid(),
    worker: uuid(),
    /** The attempt that its items are on, from 1. */
    attempt: smallint().notNull().default(1),
    /** Workers that died with it. */
    crashes: smallint().notNull().default(0),
    /** Layout of this row and of its inputs, for versions that run side by side. */
    format: smallint().notNull().default(1),
    notBefore: at('not_before'),
    queuedAt: at('queued_at'),
    claimedAt: at('claimed_at'),
  },
  (t) => [
    index('chunks_pending')
      .on(t.batch, t.first)
      .where(sql`${t.state} = 'pending' and ${t.notBefore} is null and ${t.line} is null`),
    index('chunks_line')
      .on(t.batch, t.line, t.place)
      .where(sql`${t.line} is not null and ${t.state} <> 'done'`),
    index('chunks_waiting')
      .on(t.batch, t.line, t.place)
      .where(sql`${t.line} is not null and ${t.state} = 'pending' and ${t.notBefore} is null`),
    index('chunks_due')
      .on(t.notBefore)
      .where(sql`${t.state} = 'pending' and ${t.notBefore} is not null`),
    index('chunks_queued')
      .on(t.partition, t.queuedAt)
      .where(sql`${t.state} = 'queued'`),
    index('chunks_running')
      .on(t.batch, t.size)
      .where(sql`${t.state} = 'running'`),
    index('chunks_worker')
      .on(t.worker, t.partition)
      .where(sql`${t.state} = 'running'`),
    index('chunks_done')
      .on(t.batch, t.src)
      .where(sql`${t.state} = 'done'`),
  ],
);

/** Written once, never updated: rests and retries point here and copy nothing. `items` is a JSON array in text. */
export const inputs = pgTable(
  'inputs',
  {
    batch: integer().notNull(),
    first: bigint({ mode: 'number' }).notNull(),
    /** Of a keyed batch: the index of each element, of which `first` is the first; null: they follow one another. */
    indexes: bigint({ mode: 'number' }).array(),
    items: text().notNull(),
  },
  (t) => [primaryKey({ columns: [t.batch, t.first] })],
);

/** Batches that do not exist yet: their chunks and inputs are being uploaded, under a number that no batch has. */
export const uploads = pgTable('uploads', {
  no: integer().primaryKey(),
  /** Id of the batch that it becomes. */
  id: uuid().notNull().unique(),
  /** When its producer was last heard of. */
  seen: at('seen')
    .notNull()
    .default(sql`clock_timestamp()`),
  /** It is being cleaned up and takes no more. */
  dead: boolean().notNull().default(false),
});

/** What was answered under an Idempotency-Key, so that the same request gets the same answer. */
export const idempotency = pgTable(
  'idempotency',
  {
    owner: text().notNull().default(''),
    key: text().notNull(),
    /** Of the request; null while it is still being read. */
    hash: text(),
    /** Id of the batch that it made or appended to. */
    batch: uuid().notNull(),
    /** Of an append: the index of its first item, and how many there are. */
    first: bigint({ mode: 'number' }),
    count: integer(),
    /** Number of the upload that holds it while the request is being read. */
    upload: integer(),
    /** It is free from then on: after a day, or a lease after the producer that reads was last heard of. */
    expiresAt: at('expires_at').notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.owner, t.key] }),
    index('idempotency_expires').on(t.expiresAt),
    index('idempotency_batch').on(t.batch),
  ],
);

/** One row an item that is final and has something to say; status 1 succeeded, 2 failed. */
export const results = pgTable(
  'results',
  {
    batch: integer().notNull(),
    index: bigint({ mode: 'number' }).notNull(),
    finishedAt: at('finished_at').notNull(),
    status: smallint().notNull(),
    attempt: smallint().notNull(),
    /** json, not jsonb: taken as it is, and twice as fast to write. */
    output: json(),
    error: json(),
    /** Of a failed item: where its input is, for retry. */
    src: bigint({ mode: 'number' }),
    /** Of a failed item: the same for all errors of one cause. */
    fingerprint: text(),
  },
  (t) => [
    primaryKey({ columns: [t.batch, t.index] }),
    index('results_failed')
      .on(t.batch, t.index)
      .where(sql`${t.status} = 2`),
  ],
);

/**
 * Batch numbers from `first` to before `upto`: their results and inputs lie in two tables, which are named by `upto` and end
 * as a whole (statements/ranges.ts).
 */
export const ranges = pgTable('ranges', {
  first: integer().primaryKey(),
  upto: integer().notNull(),
  /** It has one number, of a batch that was known to be large. */
  own: boolean().notNull(),
  createdAt: at('created_at')
    .notNull()
    .default(sql`clock_timestamp()`),
  /** When it was seen that no number of it can be drawn any more. */
  passedAt: at('passed_at'),
  /** Nothing lives in it, and its tables are empty: they can be dropped. */
  emptied: boolean().notNull().default(false),
});

/** Numbers that no batch has any more, and whose rows are to go. */
export const garbage = pgTable('garbage', {
  no: integer().primaryKey(),
  /** Id that the batch had. */
  id: uuid().notNull(),
  /** In a range that others live in, its results and inputs are deleted row by row from then on. */
  rowsAt: at('rows_at').notNull(),
  /** Nothing can write under this number any more: its chunks, and all that is small, are gone. */
  cleared: boolean().notNull().default(false),
});

/** One row a worker process, under a new id each start. */
export const workers = pgTable('workers', {
  id: uuid().primaryKey(),
  name: text().notNull(),
  host: text().notNull(),
  pid: integer().notNull(),
  startedAt: at('started_at').notNull().defaultNow(),
  seen: at('seen').notNull().defaultNow(),
  handlers: text().array().notNull(),
  /** Items in handlers at once. */
  concurrency: integer().notNull(),
  /** What it said with its last heartbeat: {chunksInFlight, chunksMax, itemsDone, itemsPerSecond, chunksPerSecond, turnaroundMs, roundTripMs}. */
  facts: json().notNull(),
  /** It takes no more. */
  draining: boolean().notNull().default(false),
  /** Partitions it asks for by itself; null: it takes its fair share. */
  pins: smallint().array(),
  /** Without a partition of its own: the worker whose partitions it serves too. */
  helping: uuid(),
});

export const partitions = pgTable('partitions', {
  no: smallint().primaryKey(),
  owner: uuid(),
  /** The fence of keyed work: drawn anew each time somebody takes it. Epochs can be rolled back, and are for people. */
  lease: uuid(),
  /** Counts the owners, for people. */
  epoch: bigint({ mode: 'number' }).notNull().default(0),
  /** When its present owner took it. */
  takenAt: at('taken_at'),
  expiresAt: at('expires_at'),
});

/** What `reduce` made of the outputs of one settled chunk; folded into `summaries` and deleted. */
export const partials = pgTable(
  'partials',
  {
    no: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    batch: integer().notNull(),
    partial: json().notNull(),
  },
  (t) => [index('partials_batch').on(t.batch, t.no)],
);

/** What was folded of a batch so far: its summary is this and its partials. */
export const summaries = pgTable('summaries', {
  batch: integer().primaryKey(),
  /** Counts the folds; the fence of the next one. */
  version: integer().notNull(),
  folded: json().notNull(),
});

/** Who submits batches. Its place in the fair order of owners is `pass`; `virtual` is to its batches what that of `installation` is to owners. */
export const owners = pgTable('owners', {
  owner: text().primaryKey(),
  pass: doublePrecision().notNull().default(0),
  virtual: doublePrecision().notNull().default(0),
  weight: integer().notNull().default(1),
});

/**
 * Who may ask over HTTP. A key is `bp_<id>_<secret>`, of which only the SHA-256 is kept. One that was revoked stays: without any the service
 * would go back to the rule for times without keys.
 */
export const apiKeys = pgTable('api_keys', {
  id: text().primaryKey(),
  /** SHA-256 of the whole key, in hex. */
  hash: text().notNull(),
  name: text().notNull(),
  owner: text().notNull(),
  scopes: text({ enum: ['submit', 'read', 'control', 'admin'] })
    .array()
    .notNull(),
  /** Requests a second; null: any number. */
  rate: integer(),
  createdAt: at('created_at').notNull().defaultNow(),
  expiresAt: at('expires_at'),
  revokedAt: at('revoked_at'),
});

/** What all workers together may do: of a batch (`batch:<no>`) or of a handler (`handler:<name>`). */
export const limits = pgTable('limits', {
  name: text().primaryKey(),
  /** So many slots in `per_ms`, evenly spaced; null: any number. */
  rate: integer(),
  perMs: integer('per_ms'),
  /** Time of the next slot that nobody has. */
  nextAt: at('next_at'),
  /** When slots were leased last: later than now where the clock was set back since. */
  leasedAt: at('leased_at'),
  /** Nobody gets a slot before: somebody was told to wait by what it called. */
  pausedUntil: at('paused_until'),
  /** Items in handlers at once; null: any number. */
  concurrency: integer(),
  /** Counts the times that its permits were shared: who counted them before that counts again. */
  shared: integer().notNull().default(0),
  /** Of a handler: the `handler_pass` of what was marked last, for who comes or comes back. */
  virtual: doublePrecision().notNull().default(0),
});

/** How many items of a limited batch or handler a worker may have in handlers at once. */
export const permits = pgTable(
  'permits',
  {
    /** Of the limit. */
    name: text().notNull(),
    worker: uuid().notNull(),
    count: integer().notNull(),
    /** As many as it would have. */
    wanted: integer().notNull(),
    seen: at('seen').notNull(),
  },
  (t) => [primaryKey({ columns: [t.name, t.worker] })],
);

/** What was asked of batches, handlers and keys, one row a call that could be answered. */
export const audit = pgTable('audit', {
  no: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  at: at('at').notNull().defaultNow(),
  /** Name and id of the API key; null: there are no keys, and somebody of this machine asked. */
  who: text(),
  action: text().notNull(),
  /** The id of a batch or a key, or the name of a handler. */
  target: text().notNull(),
  /** False: it was so already. */
  changed: boolean().notNull(),
  /** What was asked for beside that. */
  detail: json(),
});
