import { setTimeout as sleep } from 'node:timers/promises';
import { type Batch, createClient } from '@bullpen/api';
import { type App, startApp } from './processes.ts';
import type { Servers } from './servers.ts';
import { parentOf, type Taken, type Watched, watchUsage } from './usage.ts';

export interface HouseOptions {
  workers: number;
  /** Of all processes. */
  env?: Record<string, string>;
  /** Of each worker, by its number from 0 and by where the servers are. */
  envOfWorker?: (at: number, servers: { databaseUrl: string }) => Record<string, string>;
}

/** What one batch took, from the request to the moment at which the client knew of its end. */
export interface Ran {
  batch: Batch;
  /** From the request to its 202. */
  acceptMs: number;
  seconds: number;
  itemsPerSecond: number;
  usage: Record<string, Taken>;
}

export type House = Awaited<ReturnType<typeof startHouse>>;

/** A producer and workers on a fresh database, and a client. */
export async function startHouse(servers: Servers, options: HouseOptions) {
  const database = await servers.createDatabase();
  const env = {
    NODE_ENV: 'production',
    LOG_LEVEL: 'info',
    PORT: '0',
    WORKERS: String(options.workers),
    DATABASE_URL: database.url,
    REDIS_URL: servers.redisUrl,
    HANDLERS: 'libs/handlers/src,bench/handlers',
    ...options.env,
  };
  const producer = await startApp('producer', 'producer', env);
  const workers: App[] = [];
  let numbered = 0;
  async function addWorker(more: Record<string, string> = {}): Promise<void> {
    const at = numbered;
    numbered += 1;
    const own = options.envOfWorker?.(at, { databaseUrl: database.url });
    workers.push(await startApp('worker', `worker ${at + 1}`, { ...env, ...own, ...more }));
  }
  const dismiss = async (): Promise<void> => void (await Promise.all(workers.splice(0).map((app) => app.stop())));
  await Promise.all(Array.from({ length: options.workers }, () => addWorker()));
  const client = createClient({ url: String(producer.facts['url']) });
  const sql = servers.connect(database.url);
  const [backend] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  const watched = (): Watched[] => [
    ...[producer, ...workers].map(({ name, pid }) => ({ name, pid })),
    { name: 'postgres', pid: parentOf(backend!.pid), tree: true },
  ];
  // Partitions go round until each worker has its share.
  await settled(client, options.workers);

  return {
    client,
    url: String(producer.facts['url']),
    databaseUrl: database.url,
    producer,
    workers,
    addWorker,
    sql,
    watched,

    /** Submits, waits for the end, and says what it took. Throws when not every item succeeded. */
    async run(body: Parameters<typeof client.submit>[0]): Promise<Ran> {
      const usage = watchUsage(watched());
      const started = performance.now();
      const { id } = await client.submit(body);
      const acceptMs = performance.now() - started;
      const batch = await ended(client, id);
      const seconds = (performance.now() - started) / 1000;
      if (batch.counts.succeeded !== batch.counts.total)
        throw new Error(`the batch ended as ${batch.state} with ${JSON.stringify(batch.counts)}`);
      return { batch, acceptMs, seconds, itemsPerSecond: batch.counts.total / seconds, usage: usage.stop() };
    },

    /** Stops the workers: what they reach the servers by may be closed then. */
    dismiss,

    async stop(): Promise<void> {
      await sql.end();
      await dismiss();
      await producer.stop();
      await database.drop();
    },
  };
}

/** Waits for the end of a batch. Throws when nothing of it moves for a minute. */
export async function ended(client: ReturnType<typeof createClient>, id: string): Promise<Batch> {
  for (let before = ''; ;) {
    const batch = await client.getBatch(id, { waitSeconds: 60 });
    if (batch.state === 'completed' || batch.state === 'cancelled') return batch;
    const counts = JSON.stringify(batch.counts);
    if (counts === before) throw new Error(`the batch stands still at ${counts}`);
    before = counts;
  }
}

/** Waits until so many workers have their shares of the partitions. */
export async function settled(client: ReturnType<typeof createClient>, workers: number): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const { items } = await client.workers();
    const shares = items.map(({ partitions }) => partitions.length);
    if (items.length === workers && Math.max(...shares) - Math.min(...shares) <= 1) return;
    await sleep(50);
  }
  throw new Error('the partitions are not shared evenly after 10 s');
}
