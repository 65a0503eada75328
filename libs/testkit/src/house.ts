import { createPublisher, jobId, type QueueBackend } from '@bullpen/queue';
import { sql } from 'drizzle-orm';
import { hasRedis, testRedisUrl } from './backend.ts';
import { createDatabase, type TestDatabase } from './database.ts';
import { eventually } from './eventually.ts';
import { openProxy } from './faults/proxy.ts';
import { openOwnServers } from './faults/servers.ts';
import { type AppProcess, startApp } from './process.ts';
import { dropKeys, redisCommand } from './redis.ts';

export interface HouseOptions {
  workers: number;
  /** Workers are started again when they end by themselves. */
  supervised?: boolean;
  /** Servers of its own, which the test may kill; they are started again by themselves. */
  ownServers?: boolean;
  /** A proxy stands before each server, for all processes. */
  proxied?: boolean;
  /** 12 when unset. */
  partitions?: number;
  /** Where its queues are; unset: in Redis where there is one. */
  queueBackend?: 'redis' | 'postgres';
  /** What the processes are told in the place of a server's URL; the test itself goes there directly. */
  through?: (url: string) => Promise<string>;
  /** Of all processes. */
  env?: Record<string, string>;
}

/** What `GET /v1/batches/{id}` answers, as far as tests look. */
export interface BatchAnswer {
  id: string;
  state: string;
  counts: { total: number; pending: number; running: number; succeeded: number; failed: number; cancelled: number };
}

/** A whole Bullpen for a test: a database, a producer and workers, all real. */
export async function startHouse(options: HouseOptions) {
  const { queueBackend = hasRedis ? 'redis' : 'postgres', through = async (given) => given } = options;
  const servers = options.ownServers ? await openOwnServers(queueBackend) : null;
  const redisUrl = queueBackend === 'postgres' ? '' : (servers?.redisUrl ?? testRedisUrl());
  const database: TestDatabase = await createDatabase({
    ...(options.partitions === undefined ? {} : { partitions: options.partitions }),
    ...(servers === null ? {} : { serverUrl: servers.databaseUrl }),
  });
  const proxies = options.proxied
    ? { postgres: await openProxy(database.url), redis: redisUrl === '' ? null : await openProxy(redisUrl) }
    : null;
  const env = {
    DATABASE_URL: await through(proxies?.postgres.url ?? database.url),
    REDIS_URL: redisUrl && (await through(proxies?.redis?.url ?? redisUrl)),
    QUEUE_BACKEND: queueBackend,
    PORT: '0',
    LEASE_MS: '1500',
    WORKERS: '3',
    ...options.env,
  };
  const [producer, ...workers] = await Promise.all([
    startApp('producer', env),
    ...Array.from({ length: options.workers }, () => startApp('worker', env, options.supervised)),
  ]);
  const url = (): string => String(producer.facts()['url']);

  // What an answer holds is the test's business.
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters
  async function request<Answer>(path: string, init?: RequestInit): Promise<{ status: number; body: Answer }> {
    const response = await fetch(url() + path, init);
    return { status: response.status, body: (await response.json()) as Answer };
  }

  const batch = async (id: string): Promise<BatchAnswer> => (await request<BatchAnswer>(`/v1/batches/${id}`)).body;

  return {
    database,
    redisUrl,
    /** Of a house with servers of its own. */
    servers: servers!,
    /** Of a house that was asked for proxies. There is none before Redis where the queues are in PostgreSQL. */
    proxies: proxies!,
    producer,
    workers,
    url,
    request,
    batch,

    async addWorker(more: Record<string, string> = {}): Promise<AppProcess> {
      const worker = await startApp('worker', { ...env, ...more }, options.supervised);
      workers.push(worker);
      return worker;
    },

    /** Submits and answers the id; throws unless it was accepted. */
    async submit(body: object): Promise<string> {
      const answer = await request<{ id: string }>('/v1/batches', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      if (answer.status !== 202) throw new Error(`not accepted: ${answer.status} ${JSON.stringify(answer.body)}`);
      return answer.body.id;
    },

    /** Waits for the end of a batch. One that does not end is told with all that helps to see why. */
    async ended(id: string, withinMs = 30_000): Promise<BatchAnswer> {
      const isOver = async (): Promise<BatchAnswer | null> => {
        const found = await batch(id).catch(() => null);
        return found !== null && (found.state === 'completed' || found.state === 'cancelled') ? found : null;
      };
      try {
        return await eventually(`batch ${id} ends`, isOver, withinMs);
      } catch (error) {
        throw new Error(`${(error as Error).message}\n${await this.describe(id)}`, { cause: error });
      }
    },

    /** Where a batch stands: its counts, its open chunks, and what the processes said last. */
    async describe(id: string): Promise<string> {
      const counts = await batch(id).catch(String);
      const open = await database.db
        .execute(
          sql`select c.* from chunks c join batches b on b.no = c.batch where b.id = ${id} and c.state <> 'done' limit 5`,
        )
        .catch(String);
      const owners = await database.db
        .execute(
          sql`select p.*, w.name, w.facts from partitions p left join workers w on w.id = p.owner
              where no in (select partition from chunks where state in ('queued', 'running'))`,
        )
        .catch(String);
      const jobs = await jobStates(database.db, { kind: queueBackend, url: redisUrl || database.url }).catch(String);
      const logs = [producer, ...workers].map((app) => `${app.app}: ${app.log().split('\n').slice(-6).join('\n  ')}`);
      return [...[counts, open, jobs, owners].map((facts) => JSON.stringify(facts)), ...logs].join('\n');
    },

    /** Takes all jobs out of the queues: FLUSHALL, of a server that others use all keys of this house, or their counterpart. */
    async forgetJobs(): Promise<void> {
      if (queueBackend === 'redis' && servers !== null) await redisCommand(redisUrl, 'FLUSHALL');
      else if (queueBackend === 'redis') await dropKeys(redisUrl, `{bullpen-${database.installation.id.slice(0, 8)}-*`);
      else await database.db.execute(sql`truncate bullpen_queue.job, bullpen_queue.event cascade`);
    },

    async stop(): Promise<void> {
      for (const app of workers) app.signal('SIGCONT');
      await Promise.all([...workers, producer].map((app) => app.end('SIGKILL')));
      await Promise.all([proxies?.postgres.close(), proxies?.redis?.close()]);
      await database.drop();
      await servers?.close();
    },
  };
}

/** What BullMQ says of the jobs of chunks that stand as queued. */
async function jobStates(db: TestDatabase['db'], backend: QueueBackend) {
  const queued = await db.execute<{ no: string; generation: number; partition: number; id: string }>(
    sql`select no, generation, partition, (select id from installation) from chunks where state = 'queued' limit 5`,
  );
  const partitions = 1 + Math.max(0, ...queued.map((chunk) => chunk.partition));
  const publisher = createPublisher({
    backend,
    installationId: queued[0]?.id ?? '',
    partitions,
    parallelism: 1,
    jobsPerCall: 1,
  });
  try {
    return await Promise.all(
      queued.map(async ({ no, generation, partition }) => {
        const queue = publisher.queues[partition]!;
        const counts = await queue.getJobCounts();
        return {
          no,
          state: await queue.getJobState(jobId(Number(no), generation)),
          paused: await queue.isPaused(),
          counts,
        };
      }),
    );
  } finally {
    await publisher.close();
  }
}

export type House = Awaited<ReturnType<typeof startHouse>>;
