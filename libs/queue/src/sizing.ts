/** How many addBulk calls run at once (seed 2): cpus × `perCpu`, or `override`; always within 2…512. */
export function publishParallelism(options: { cpus: number; perCpu?: number; override?: number | undefined }): number {
  const { cpus, perCpu = 4, override } = options;
  return Math.min(512, Math.max(2, Math.floor(override ?? cpus * perCpu)));
}

/** How many items may be marked and not yet in BullMQ (seed 2): parallelism × batch, within 4 096…262 144. */
export function publishQueueSize(options: { parallelism: number; batchSize: number }): number {
  return Math.min(262_144, Math.max(4096, options.parallelism * options.batchSize));
}
