import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import postgres from 'postgres';
import { buffered, insertJson, outputOf } from './item.mjs';

const logger = new Logger(() => () => {});
const preset = { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } };

/** Local queue of 500, jobs completed in groups; a job is done when its row is committed. */
export default {
  kept: 'a job an item, local queue of 500, completed in groups; one row an item, up to 1 000 rows a statement',
  async prepare({ databaseUrl }) {
    const utils = await makeWorkerUtils({ connectionString: databaseUrl, logger });
    await utils.migrate();
    await utils.release();
  },
  async submit({ databaseUrl, from, items }) {
    const utils = await makeWorkerUtils({ connectionString: databaseUrl, logger });
    for (let first = 0; first < items; first += 5000)
      await utils.addJobs(
        Array.from({ length: Math.min(5000, items - first) }, (_, at) => ({
          identifier: 'peer',
          payload: { index: from + first + at },
        })),
      );
    await utils.release();
  },
  async work({ databaseUrl, iterations, done }) {
    const sql = postgres(databaseUrl, { max: 3, connection: { synchronous_commit: 'off' } });
    const store = buffered({ insert: insertJson(sql), done });
    const runner = await run({
      connectionString: databaseUrl,
      concurrency: 500,
      maxPoolSize: 10,
      noHandleSignals: true,
      pollInterval: 20,
      logger,
      preset,
      taskList: { peer: ({ index }) => store(index, outputOf(index, iterations)) },
    });
    return async () => {
      await runner.stop();
      await sql.end();
    };
  },
};
