import { failuresSchema } from '@bullpen/api';
import { fingerprintOf } from '@bullpen/db';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, openApp, post, type TestApp } from './http-app.ts';

let app: TestApp;
beforeAll(async () => void (app = await openApp()));
afterAll(() => app.close());

const submit = async (count: number): Promise<string> =>
  (await post(app, { handler: 'echo', count })).body.id as string;
const causes = ['broken pipe', 'no such user 17', 'timeout after 30 ms', 'x', 'y', 'z', 'a "quoted" word'];

/** Failed items of seven causes: of each 49, one of the first, three of the second … 13 of the last. */
async function fail(id: string, items: number): Promise<void> {
  const errors = causes.map((message) => ({ code: 'error', message }));
  const list = JSON.stringify(errors.map((error) => ({ error, fingerprint: fingerprintOf(error) })));
  await app.database.db.execute(sql`
    insert into results (batch, index, finished_at, status, attempt, error, fingerprint)
    select b.no, i, now(), 2, 3, e.value -> 'error', e.value ->> 'fingerprint'
    from batches b cross join generate_series(0, ${items}::int - 1) i
      join json_array_elements(${list}::json) with ordinality e(value, n) on e.n = 1 + floor(sqrt(i % 49))
    where b.id = ${id}`);
}

describe('failures', () => {
  test('100 000 of them are read as their 7 causes, the most frequent first', async () => {
    const id = await submit(200_000);
    await fail(id, 100_000);
    const answer = failuresSchema.parse(await app.client.failures(id));
    expect(answer.causes).toBe(7);
    expect(answer.items.map(({ message }) => message)).toEqual(causes.toReversed());
    expect(answer.items.reduce((sum, { count }) => sum + count, 0)).toBe(100_000);
    expect(answer.items.at(-1)).toEqual({
      fingerprint: fingerprintOf({ code: 'error', message: 'broken pipe' }),
      code: 'error',
      message: 'broken pipe',
      count: 2041,
      firstIndex: 0,
      lastIndex: 99_960,
      sample: await app.client.result(id, 0),
    });
    const few = await app.client.failures(id, { limit: 2 });
    expect([few.items.length, few.causes]).toEqual([2, 7]);
  });

  test('none is an empty list, a bad limit and an unknown batch are refused', async () => {
    const id = await submit(3);
    expect(await app.client.failures(id)).toEqual({ items: [], causes: 0 });
    expect((await ask(app, `/v1/batches/${id}/failures?limit=0`)).status).toBe(422);
    expect((await ask(app, `/v1/batches/${id}/failures?status=failed`)).status).toBe(422);
    expect((await ask(app, `/v1/batches/${id.replace(/^.{8}/, '00000000')}/failures`)).status).toBe(404);
    expect((await ask(app, `/v1/batches/${id}/failures`, { method: 'POST' })).status).toBe(405);
  });
});
