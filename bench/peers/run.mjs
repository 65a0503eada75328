// Runs one peer: node run.mjs NAME ITEMS WORKERS ITERATIONS; DATABASE_URL and REDIS_URL say where. A peer is a module with
// `prepare` (tables, queues), `submit` (hands over `items` from the index `from` on) and `work` (in each worker process; calls `done(n)` after n
// results are stored). It gets a quarter of the items first, which warms its processes. Prints one line of JSON: of both the items
// a second from the submit to the last stored result, and what is stored.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';

const [role, name, ...numbers] = process.argv.slice(2);
const [items, workers, iterations] = numbers.map(Number);
const { default: peer } = await import(`./${name}.mjs`);
const place = { databaseUrl: process.env.DATABASE_URL, redisUrl: process.env.REDIS_URL };

// Whoever started this is gone: nobody wants to know any more.
process.on('disconnect', () => process.exit());

if (role === 'worker') {
  const stop = await peer.work({ ...place, iterations, done: (count) => process.send(count) });
  process.once('message', () => void stop().then(() => process.exit()));
  process.send('ready');
} else {
  const sql = postgres(place.databaseUrl, { max: 2, onnotice() {} });
  await sql`drop table if exists peer_results`;
  await sql`create table peer_results (batch int not null default 1, index int not null, finished_at timestamptz default now(), status smallint not null, attempt smallint not null, output json, primary key (batch, index))`;
  await peer.prepare(place);
  let stored = 0;
  let awaited = Infinity;
  let allStored;
  const processes = await Promise.all(
    Array.from({ length: workers }, async () => {
      const child = fork(fileURLToPath(import.meta.url), ['worker', name, items, workers, iterations]);
      await once(child, 'message');
      child.on('message', (count) => {
        stored += count;
        if (stored >= awaited) allStored();
      });
      return child;
    }),
  );
  async function run(from, count) {
    awaited = from + count;
    const all = new Promise((resolve) => (allStored = resolve));
    const started = performance.now();
    const since = () => (performance.now() - started) / 1000;
    await peer.submit({ ...place, from, items: count });
    const submitSeconds = since();
    await all;
    return { perSecond: count / since(), submittedPerSecond: count / submitSeconds };
  }
  // In thousands: the sketch has so many in a chunk.
  const warming = Math.max(1, Math.round(items / 4000)) * 1000;
  const first = await run(0, warming);
  const next = await run(warming, items);
  const [{ rows }] = await sql`select count(*)::int as rows from peer_results`;
  console.log(
    JSON.stringify({ ...next, firstPerSecond: first.perSecond, missing: warming + items - rows, kept: peer.kept }),
  );
  for (const child of processes) child.send('stop');
  await Promise.all(processes.map((child) => once(child, 'exit')));
  await sql`drop table peer_results`;
  await sql.end();
  process.exit();
}
