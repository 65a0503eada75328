import { checkLedger, eventually, type House, startHouse } from '@bullpen/testkit';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

const env = { HANDLERS: 'libs/handlers/src,libs/testkit/handlers', LEASE_MS: '800', LOG_LEVEL: 'warn' };

/** So many items of three groups in turn, whose values are a hundred times their indexes. */
const inputs = (n: number, more: (index: number) => object = () => ({})) =>
  Array.from({ length: n }, (_, index) => ({ key: `k${index % 3}`, value: 100 * index, ...more(index) }));

async function failuresOf(id: string): Promise<unknown[]> {
  await house.ended(id);
  type Failures = { items: { index: number; attempts: number; error: { code: string } }[] };
  const { body } = await house.request<Failures>(`/v1/batches/${id}/results?status=failed&limit=1000`);
  return body.items.map(({ index, attempts, error }) => [index, attempts, error.code]);
}

const summaryOf = async (id: string): Promise<unknown> =>
  eventually('it is summed up', async () => {
    const { body } = await house.request<{ summary: { n: number } | null }>(`/v1/batches/${id}`);
    return body.summary;
  });

describe('a line', () => {
  it('of which one item is tried again goes on where an output is refused', async () => {
    house = await startHouse({ workers: 1, env });
    const items = inputs(5, (index) => ({ key: 'k', retries: index === 0 ? 1 : 0 }));
    const params = { add: 13, at: 100 };
    const options = { groupBy: 'key', groupConcurrency: 2, chunkSize: 20 };
    const id = await house.submit({ handler: 'reducing', inputs: items, params, options });
    expect(await failuresOf(id)).toEqual([[1, 1, 'reduce-failed']]);
    expect(await summaryOf(id)).toEqual({ n: 900 });
    expect(await checkLedger(house.database)).toEqual([]);
  });
});
