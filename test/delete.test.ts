import { checkLedger, eventually, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { expect, it, onTestFinished } from 'vitest';

async function openHouse(env: Record<string, string> = {}): Promise<House> {
  const house = await startHouse({ workers: 2, env });
  onTestFinished(() => house.stop());
  return house;
}

const count = async ({ database }: House, table: string): Promise<number> =>
  ((await database.db.execute(sql.raw(`select count(*)::int as n from ${table}`))) as unknown as [{ n: number }])[0].n;
const remove = async (house: House, id: string): Promise<number> =>
  (await fetch(`${house.url()}/v1/batches/${id}`, { method: 'DELETE' })).status;

it('a producer that is killed in the middle of cleaning up is gone on for, beside a batch that runs', async () => {
  const house = await openHouse();
  const [small, large] = [
    await house.submit({ handler: 'echo', count: 240_000 }),
    await house.submit({ handler: 'echo', count: 260_000 }),
  ];
  await house.ended(small);
  await house.ended(large);
  const running = await house.submit({ handler: 'sleep', count: 3000, params: { ms: 20 } });
  expect([await remove(house, small), await remove(house, large)]).toEqual([204, 204]);
  await eventually('some rows are gone', async () => (await count(house, 'results')) < 490_000);
  await house.producer.end('SIGKILL');
  const left = await count(house, 'results');
  expect(left).toBeGreaterThan(0);
  await house.producer.restart();
  await eventually('nothing is left', async () => (await count(house, 'garbage')) === 0, 30_000);
  expect((await house.ended(running)).counts).toMatchObject({ succeeded: 3000 });
  expect(await count(house, 'results r where not exists (select from batches b where b.no = r.batch)')).toBe(0);
  expect(await count(house, 'chunks c where not exists (select from batches b where b.no = c.batch)')).toBe(0);
  expect(await count(house, 'ranges where own')).toBe(0);
  await eventually('it is told', async () => house.producer.log().includes('cleaned up'));
  expect(await checkLedger(house.database)).toEqual([]);
}, 120_000);

it('RETENTION_DAYS deletes what ended so long ago, and says so in one line', async () => {
  const house = await openHouse({ RETENTION_DAYS: '7' });
  const [old, young] = [
    await house.submit({ handler: 'echo', count: 260_000 }),
    await house.submit({ handler: 'echo', count: 10 }),
  ];
  await house.ended(old);
  await house.ended(young);
  await house.database.db.execute(
    sql`update batches set finished_at = finished_at - case when id = ${old}::uuid then interval '169 hours' else interval '160 hours' end`,
  );
  // It looks at its start, and each minute.
  await house.producer.end('SIGTERM');
  await house.producer.restart();
  await eventually('the old one is gone', async () => (await house.request(`/v1/batches/${old}`)).status === 404);
  await eventually('and so is its range', async () => (await count(house, 'ranges where own')) === 0);
  expect(await house.batch(young)).toMatchObject({ state: 'completed' });
  await eventually('it is told', async () => /"expired":1[^\n]*cleaned up/.test(house.producer.log()));
  expect(house.producer.log().match(/cleaned up/g)).toHaveLength(1);
}, 60_000);
