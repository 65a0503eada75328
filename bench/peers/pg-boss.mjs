import PgBoss from 'pg-boss';
import postgres from 'postgres';
import { insertJson, outputOf } from './item.mjs';

const open = async (url, max) => {
  const boss = new PgBoss({ connectionString: url, max, supervise: false, schedule: false });
  boss.on('error', console.error);
  await boss.start();
  return boss;
};

/** Jobs are fetched and completed 500 at a time; their rows are stored before. */
export default {
  kept: 'a job an item, fetched and completed 500 at a time; one row an item, 500 rows a statement',
  async prepare({ databaseUrl }) {
    const boss = await open(databaseUrl, 2);
    await boss.createQueue('peer');
    await boss.purgeQueue('peer');
    await boss.stop();
  },
  async submit({ databaseUrl, from, items }) {
    const boss = await open(databaseUrl, 4);
    for (let first = 0; first < items; first += 5000)
      await boss.insert(
        Array.from({ length: Math.min(5000, items - first) }, (_, at) => ({
          name: 'peer',
          data: { index: from + first + at },
        })),
      );
    await boss.stop();
  },
  async work({ databaseUrl, iterations, done }) {
    const sql = postgres(databaseUrl, { max: 3, connection: { synchronous_commit: 'off' } });
    const boss = await open(databaseUrl, 3);
    const insert = insertJson(sql);
    let stopped = false;
    async function fetchOn() {
      while (!stopped) {
        const jobs = await boss.fetch('peer', { batchSize: 500 });
        if (jobs.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
        if (jobs.length === 0) continue;
        await insert(
          jobs.map(({ data: { index } }) => ({ index, status: 1, attempt: 1, output: outputOf(index, iterations) })),
        );
        await boss.complete(
          'peer',
          jobs.map(({ id }) => id),
        );
        done(jobs.length);
      }
    }
    const loops = [fetchOn(), fetchOn()];
    return async () => {
      stopped = true;
      await Promise.all(loops);
      await boss.stop();
      await sql.end();
    };
  },
};
