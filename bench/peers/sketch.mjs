import { Queue, Worker } from 'bullmq';
import Redis from 'ioredis';
import postgres from 'postgres';
import { outputOf } from './item.mjs';

const size = 1000;
const connect = (url) => new Redis(url, { maxRetriesPerRequest: null });
const jobOptions = { removeOnComplete: true };

/** The 90 lines that Bullpen grew from: chunks of 1 000, a claim and a flush as single statements, no guarantee but the fence. */
export default {
  kept: 'a job for 1 000 items; one row an item, four chunks a statement; no owners, no repair, no fairness',
  async prepare({ databaseUrl, redisUrl }) {
    const sql = postgres(databaseUrl, { max: 1, onnotice() {} });
    await sql`drop table if exists sketch_chunks`;
    await sql`create table sketch_chunks (id int primary key, first int, size int, state int default 0, token int default 0)`;
    await sql.end();
    const connection = connect(redisUrl);
    const queue = new Queue('sketch', { connection });
    await queue.obliterate({ force: true });
    await queue.close();
    connection.disconnect();
  },
  async submit({ databaseUrl, redisUrl, from, items }) {
    const sql = postgres(databaseUrl, { max: 1 });
    const connection = connect(redisUrl);
    const queue = new Queue('sketch', { connection });
    const firstId = from / size;
    const chunks = Math.ceil(items / size);
    await sql`insert into sketch_chunks (id, first, size)
      select ${firstId}::int + g, ${from}::int + g * ${size}::int, least(${size}::int, ${items}::int - g * ${size}::int) from generate_series(0, ${chunks - 1}::int) g`;
    await queue.addBulk(
      Array.from({ length: chunks }, (_, at) => ({
        name: 'chunk',
        data: { chunk: firstId + at },
        opts: { ...jobOptions, jobId: `c-${firstId + at}` },
      })),
    );
    await queue.close();
    connection.disconnect();
    await sql.end();
  },
  async work({ databaseUrl, redisUrl, iterations, done }) {
    const sql = postgres(databaseUrl, { max: 3, connection: { synchronous_commit: 'off' } });
    const connection = connect(redisUrl);
    const claim = claims(sql);
    const flush = flushes(sql, done);
    const worker = new Worker(
      'sketch',
      async (job) => {
        const chunk = await claim(job.data.chunk);
        if (!chunk) return;
        const outputs = Array.from({ length: chunk.size });
        for (let at = 0; at < chunk.size; at += 1) outputs[at] = outputOf(chunk.first + at, iterations);
        await flush({ ...chunk, outputs: JSON.stringify(outputs) });
      },
      { connection, concurrency: 8 },
    );
    await worker.waitUntilReady();
    return async () => {
      await worker.close();
      connection.disconnect();
      await sql.end();
    };
  },
};

function claims(sql) {
  let wanted = [];
  async function send() {
    const asked = wanted;
    wanted = [];
    const ids = asked.map((each) => each.id);
    const rows =
      await sql`update sketch_chunks set state = 1, token = token + 1 where id = any(${ids}::int[]) and state < 2 returning id, first, size, token`;
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const each of asked) each.resolve(byId.get(each.id));
  }
  return (id) =>
    new Promise((resolve) => {
      wanted.push({ id, resolve });
      if (wanted.length === 1) setImmediate(() => void send());
    });
}

function flushes(sql, done) {
  let finished = [];
  let timer = null;
  async function flush() {
    clearTimeout(timer);
    timer = null;
    const batch = finished;
    finished = [];
    if (batch.length === 0) return;
    const column = (name) => batch.map((each) => each[name]);
    await sql`with done as (
        update sketch_chunks c set state = 2
        from unnest(${column('id')}::int[], ${column('token')}::int[], ${column('outputs')}::text[]) u(id, token, outputs)
        where c.id = u.id and c.token = u.token and c.state = 1 returning c.first, u.outputs)
      insert into peer_results (index, status, attempt, output)
      select d.first + o.n - 1, 1, 1, o.value from done d, json_array_elements(d.outputs::json) with ordinality o(value, n)`;
    done(batch.reduce((sum, each) => sum + each.size, 0));
    for (const each of batch) each.resolve();
  }
  return (chunk) =>
    new Promise((resolve) => {
      finished.push({ ...chunk, resolve });
      if (finished.length >= 4) void flush();
      else timer ??= setTimeout(() => void flush(), 5);
    });
}
