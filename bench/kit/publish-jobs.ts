import { randomUUID } from 'node:crypto';
import { createPublisher } from '@bullpen/queue';
import { usedByRedis } from './redis.ts';
import type { Bench } from './scenario.ts';

const partitions = 12;

/** Bytes that a job which waits takes in Redis, measured with twenty thousand of them. */
export async function bytesOfAJob(bench: Bench): Promise<number> {
  const jobs = 20_000;
  const before = await usedByRedis(bench.servers.redisUrl);
  let after = before;
  await publishJobs(bench, { jobs, jobsPerCall: 100, parallelism: 8 }, async () => {
    after = await usedByRedis(bench.servers.redisUrl);
  });
  return (after - before) / jobs;
}

/** Adds jobs to empty queues, so many in a call and so many calls at once: jobs a second. `look` may look at what stands there. */
export async function publishJobs(
  { servers }: Bench,
  options: { jobs: number; jobsPerCall: number; parallelism: number },
  look: () => Promise<void> = async () => undefined,
): Promise<number> {
  const backend = { kind: 'redis', url: servers.redisUrl } as const;
  const publisher = createPublisher({ backend, installationId: randomUUID(), partitions, ...options });
  const jobs = Array.from({ length: options.jobs }, (_, chunk) => ({
    chunk,
    generation: 1,
    partition: chunk % partitions,
    handler: 'echo',
    batch: randomUUID(),
    batchNo: 1,
    items: 1000,
  }));
  try {
    await publisher.reachable();
    const started = performance.now();
    const { failed } = await publisher.publish(jobs);
    const perSecond = (options.jobs / (performance.now() - started)) * 1000;
    if (failed.length > 0) throw new Error(`${failed.length} jobs of ${options.jobs} could not be added`);
    await look();
    return perSecond;
  } finally {
    await Promise.all(publisher.queues.map((queue) => queue.obliterate({ force: true })));
    await publisher.close();
  }
}
