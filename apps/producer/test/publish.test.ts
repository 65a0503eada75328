import { randomUUID } from 'node:crypto';
import { createPublisher, prepareQueues } from '@bullpen/queue';
import { createLog } from '@bullpen/runtime';
import { databaseForTest, idleFacts } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { expect, it, onTestFinished } from 'vitest';
import { createFigures } from '../src/publish/figures.ts';
import { publishOnce } from '../src/publish/publish.ts';
import { createReport } from '../src/publish/report.ts';

const log = createLog({ name: 'test', level: 'silent', pretty: false });
const partitions = 12;

/** A database with one worker, which owns all partitions and has room for ten chunks, and a round of publishing in it. */
async function openHouse() {
  const database = await databaseForTest();
  const { statements, url } = database;
  const id = randomUUID();
  await statements.register({ id, name: 'w', host: 'h', pid: 1, handlers: ['echo'], concurrency: 8, facts: idleFacts });
  await statements.own({ worker: id, leaseMs: 60_000, releasing: [] });
  const backend = { kind: 'postgres' as const, url };
  await prepareQueues(backend);
  const given = { installationId: randomUUID(), partitions, parallelism: 2, jobsPerCall: 100 };
  const publisher = createPublisher({ backend, ...given });
  onTestFinished(() => publisher.close());
  const report = createReport(log, { parallelism: 2, queueSize: 1e6, windowMs: 1000 });
  const deps = {
    statements,
    publisher,
    settings: { leaseMs: 60_000 },
    queueSize: 1e6,
    report,
    figures: createFigures(),
    log,
  };
  return { database, round: () => publishOnce(deps) };
}

it('leaves half of the room to batches without groups, however many lines wait', async () => {
  const { database, round } = await openHouse();
  const batch = { name: null, handler: 'echo', params: null, options: '{}' };
  for (let n = 0; n < 3; n += 1) {
    const keyed = { ...batch, id: randomUUID(), total: partitions, options: '{"groupBy":"k"}', keyed: true };
    const chunks = Array.from({ length: partitions }, (_, line) => ({
      first: line,
      size: 1,
      items: '[{"k":1}]',
      line,
      indexes: [line],
    }));
    await database.statements.acceptInputs(keyed, chunks);
  }
  await database.statements.acceptCount({ ...batch, id: randomUUID(), total: 1000 }, 10);
  const queued = async () => {
    const [row] = await database.db.execute(sql`
      select count(line)::int as lines, count(*)::int - count(line)::int as others from chunks where state = 'queued'`);
    return row;
  };
  await round();
  expect(await queued()).toEqual({ lines: 5, others: 5 });
  // One place after the other becomes free: both get some of them.
  for (let freed = 0; freed < 20; freed += 1) {
    await database.db.execute(sql`
      update chunks set state = 'done' where no = (select min(no) from chunks where state = 'queued')`);
    await round();
  }
  const { lines, others } = (await queued()) as { lines: number; others: number };
  expect(lines + others).toBe(10);
  expect(await database.db.execute(sql`select from chunks where line is null and state = 'done'`)).not.toEqual([]);
  expect(await database.db.execute(sql`select from chunks where line is not null and state = 'done'`)).not.toEqual([]);
});
