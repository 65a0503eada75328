import { Queue, Worker } from 'bullmq';
import { drizzle } from 'drizzle-orm/postgres-js';
import { integer, json, pgTable, smallint } from 'drizzle-orm/pg-core';
import Redis from 'ioredis';
import postgres from 'postgres';
import { buffered, outputOf } from './item.mjs';

const results = pgTable('peer_results', {
  index: integer().notNull(),
  status: smallint().notNull(),
  attempt: smallint().notNull(),
  output: json(),
});
const connect = (url) => new Redis(url, { maxRetriesPerRequest: null });
const jobOptions = { removeOnComplete: true };

/** A job an item, 500 at once a worker; a job is done when its row is committed. */
export default {
  kept: 'a job an item; one row an item, Drizzle inserts of up to 500 rows',
  async prepare({ redisUrl }) {
    const connection = connect(redisUrl);
    const queue = new Queue('peer', { connection });
    await queue.obliterate({ force: true });
    await queue.close();
    connection.disconnect();
  },
  async submit({ redisUrl, from, items }) {
    const connection = connect(redisUrl);
    const queue = new Queue('peer', { connection });
    const slices = Array.from({ length: Math.ceil(items / 1000) }, (_, at) => at * 1000);
    const slice = (first) =>
      Array.from({ length: Math.min(1000, items - first) }, (_, at) => ({
        name: 'item',
        data: { index: from + first + at },
        opts: jobOptions,
      }));
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        for (let first = slices.shift(); first !== undefined; first = slices.shift()) await queue.addBulk(slice(first));
      }),
    );
    await queue.close();
    connection.disconnect();
  },
  async work({ databaseUrl, redisUrl, iterations, done }) {
    const client = postgres(databaseUrl, { max: 3, connection: { synchronous_commit: 'off' } });
    const db = drizzle(client);
    const store = buffered({ insert: (rows) => db.insert(results).values(rows), done, most: 500 });
    const connection = connect(redisUrl);
    const worker = new Worker('peer', ({ data: { index } }) => store(index, outputOf(index, iterations)), {
      connection,
      concurrency: 500,
    });
    await worker.waitUntilReady();
    return async () => {
      await worker.close();
      connection.disconnect();
      await client.end();
    };
  },
};
