import { checkLedger, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let house: House;
beforeAll(async () => {
  const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers' };
  house = await startHouse({ workers: 2, supervised: true, env });
});
afterAll(() => house.stop());

const items = 300;
const inputs = Array.from({ length: items }, (_, n) => ({ key: `k${n % 20}`, n }));
/** One that keeps everything for an hour. */
const rateLimit = { limit: 1, perMs: 3_600_000 };

async function outputsOf(id: string): Promise<object[]> {
  const headers = { accept: 'application/x-ndjson' };
  const lines = await (await fetch(`${house.url()}/v1/batches/${id}/results`, { headers })).text();
  return lines
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { output: object }).output);
}

describe('a dry run', () => {
  it.each([
    ['rehearsed', {}],
    ['rehearsed-in-threads', {}],
    ['rehearsed-together', {}],
    ['rehearsed', { groupBy: 'key', ordered: true }],
    ['rehearsed-in-threads', { groupBy: 'key', ordered: true }],
    ['rehearsed-together', { groupBy: 'key', ordered: true }],
  ])('of %s with %j runs nothing but dryRun, waits for no limit, and is summed up', async (handler, options) => {
    const id = await house.submit({ handler, inputs, options: { ...options, rateLimit, dryRun: true } });
    const { body } = await house.request(`/v1/batches/${id}`);
    expect(body).toMatchObject({ options: { dryRun: true } });
    expect((await house.ended(id)).counts).toMatchObject({ succeeded: items });
    expect(await outputsOf(id)).toEqual(inputs.map(({ n }) => ({ would: n, started: false })));
    expect((await house.request(`/v1/batches/${id}`)).body).toMatchObject({ summary: { items } });
  });

  it.each([{}, { groupBy: 'key', ordered: true }])(
    'with %j is one too where its items run alone, since one of them ends its process',
    async (groups) => {
      const options = { ...groups, maxAttempts: 1, chunkSize: 5, dryRun: true };
      const few = inputs.slice(0, 10);
      const id = await house.submit({ handler: 'rehearsed', inputs: few, params: { exit: 3 }, options });
      expect((await house.ended(id, 60_000)).counts).toMatchObject({ succeeded: 9, failed: 1 });
      const done = (await outputsOf(id)).filter((output) => output !== null);
      expect(done).toEqual(few.filter(({ n }) => n !== 3).map(({ n }) => ({ would: n, started: false })));
      expect(await checkLedger(house.database)).toEqual([]);
    },
  );

  it('that is none runs the handler, and does not say that it is one', async () => {
    const id = await house.submit({ handler: 'rehearsed', inputs: inputs.slice(0, 1), options: { dryRun: false } });
    await house.ended(id);
    expect(await outputsOf(id)).toEqual([{ did: 0, started: true }]);
    const { body } = await house.request<{ options: object }>(`/v1/batches/${id}`);
    expect(body.options).not.toHaveProperty('dryRun');
  });

  const json = JSON.stringify({ handler: 'echo', inputs: [{ n: 1 }], options: { dryRun: true } });
  it.each([
    ['application/json', '/v1/batches', json],
    ['application/x-ndjson', '/v1/batches?handler=echo&dryRun=true', '{"n": 1}\n'],
    ['text/csv', '/v1/batches?handler=echo&dryRun=true', 'n\n1\n'],
    ['text/csv', '/v1/batches?handler=echo&dryRun=true&validate=only', 'n\n1\n'],
  ])('of a handler that has none is refused, and nothing is stored: %s to %s', async (type, path, body) => {
    const stored = async () =>
      (
        await house.database.db.execute(
          sql`select (select count(*) from batches) + (select last_value from batches_no) as n`,
        )
      )[0];
    const before = await stored();
    const answer = await house.request(path, { method: 'POST', headers: { 'content-type': type }, body });
    expect(answer).toMatchObject({
      status: 422,
      body: {
        detail: expect.stringContaining('The handler echo has no dryRun'),
        errors: [{ pointer: '/options/dryRun', message: 'echo has none (GET /v1/handlers says which have)' }],
      },
    });
    expect(await stored()).toEqual(before);
  });

  it('is what the list of handlers says they have', async () => {
    const { body } = await house.request<{ items: { name: string; dryRun: boolean }[] }>('/v1/handlers');
    const having = body.items.filter(({ dryRun }) => dryRun).map(({ name }) => name);
    expect(having).toEqual(expect.arrayContaining(['rehearsed', 'rehearsed-in-threads', 'rehearsed-together']));
    expect(having).not.toContain('echo');
  });
});
