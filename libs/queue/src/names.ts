/** How things are called in the queues' server. One installation (a database) never sees another's. */
export const queueName = (partition: number): string => `partition-${partition}`;

/** The braces are a hash tag: in a cluster all keys of one partition live on one node, and partitions spread over nodes. */
export const queuePrefix = (installationId: string, partition: number): string =>
  `{bullpen-${installationId.slice(0, 8)}-${partition}}`;

/** The generation makes it new each time a chunk is published: BullMQ silently ignores an id that it still keeps. */
export const jobId = (chunk: number, generation: number): string => `c-${chunk}-${generation}`;

/** What a job carries: a wake-up with a few fields for the board, never inputs or results. */
export interface JobData {
  chunk: number;
  generation: number;
  batch: string;
  /** Number of the batch, by which the claim finds its inputs sooner; a hint. Versions before this one do not say it. */
  batchNo?: number;
  items: number;
  /** Its place in the fair order: lower ones go first in a worker too. Versions before this one do not say it. */
  tag?: number;
  /** Of a keyed batch: the job is the turn of this line, which begins with the chunk. */
  line?: number;
}
