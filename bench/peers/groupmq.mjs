import { Queue, Worker } from 'groupmq';
import Redis from 'ioredis';
import postgres from 'postgres';
import { buffered, insertJson, outputOf } from './item.mjs';

const groups = 1000;
const open = (url) => {
  const redis = new Redis(url, { maxRetriesPerRequest: null });
  return { redis, queue: new Queue({ redis, namespace: 'peer', keepCompleted: 0 }) };
};

/** 1 000 groups, one job of each at a time; a job is done when its row is committed. */
export default {
  kept: `a job an item in ${groups} groups; one row an item, up to 1 000 rows a statement`,
  async prepare({ redisUrl }) {
    const { redis } = open(redisUrl);
    const keys = await redis.keys('groupmq:peer:*');
    if (keys.length > 0) await redis.del(...keys);
    redis.disconnect();
  },
  async submit({ redisUrl, from, items }) {
    const { redis, queue } = open(redisUrl);
    let next = from;
    await Promise.all(
      Array.from({ length: 200 }, async () => {
        while (next < from + items) {
          const index = next++;
          await queue.add({ groupId: `g${index % groups}`, data: { index } });
        }
      }),
    );
    redis.disconnect();
  },
  async work({ databaseUrl, redisUrl, iterations, done }) {
    const sql = postgres(databaseUrl, { max: 3, connection: { synchronous_commit: 'off' } });
    const store = buffered({ insert: insertJson(sql), done });
    const { redis, queue } = open(redisUrl);
    const worker = new Worker({
      queue,
      concurrency: 64,
      handler: ({ data: { index } }) => store(index, outputOf(index, iterations)),
    });
    void worker.run();
    return async () => {
      await worker.close();
      redis.disconnect();
      await sql.end();
    };
  },
};
