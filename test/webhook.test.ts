import { eventually, type House, isSigned, openReceiver, type Receiver, startHouse } from '@bullpen/testkit';
import { afterEach, expect, it, onTestFinished } from 'vitest';

const secret = 'a-secret-of-more-than-16';
const env = { WEBHOOK_ALLOW_PRIVATE: 'true' };
let house: House;
afterEach(() => house.stop());

async function receiver(...given: Parameters<typeof openReceiver>): Promise<Receiver> {
  const opened = await openReceiver(...given);
  onTestFinished(() => opened.close());
  return opened;
}
const submit = (url: string, body: object = {}): Promise<string> =>
  house.submit({ handler: 'echo', count: 3000, ...body, options: { webhook: { url, secret }, maxAttempts: 1 } });
const told = async (id: string): Promise<{ attempts: number }> =>
  eventually('it is told', async () => {
    const { body } = await house.request<{ webhook: { state: string; attempts: number } }>(`/v1/batches/${id}`);
    return body.webhook.state === 'delivered' && body.webhook;
  });

it('a completion is told when all results can be read, and again under another id when the batch completes again', async () => {
  house = await startHouse({ workers: 2, env });
  const seen: unknown[] = [];
  const hook = await receiver(async (_n, { text }) => {
    const { id } = JSON.parse(text) as { id: string };
    seen.push((await house.batch(id)).state);
    return 200;
  });
  const id = await submit(hook.url, { handler: 'fail', params: { rate: 0.5 } });
  expect(await told(id)).toMatchObject({ attempts: 1 });
  const { counts } = await house.batch(id);
  expect(counts.failed).toBeGreaterThan(0);
  expect(JSON.parse(hook.letters[0]!.text)).toMatchObject({ id, state: 'completed', counts });
  await house.request(`/v1/batches/${id}/retry`, { method: 'POST' });
  await eventually('it is told again', () => hook.letters.length === 2);
  expect(await told(id)).toMatchObject({ attempts: 1 });
  expect(seen).toEqual(['completed', 'completed']);
  expect(new Set(hook.letters.map(({ delivery }) => delivery)).size).toBe(2);
  expect(hook.letters.every((letter) => isSigned(letter, secret))).toBe(true);
});

it('a producer that is killed before it has told, or while it tells, leaves it to the next one under the same id', async () => {
  house = await startHouse({ workers: 2, env });
  const hook = await receiver((n) => (n === 1 ? 'never' : 200));
  const id = await submit(hook.url, { handler: 'sleep', count: 400, params: { ms: 100 } });
  await eventually('it is published', async () => (await house.batch(id)).counts.pending === 0);
  await house.producer.end('SIGKILL');
  await eventually('it is completed', async () => (await house.database.statements.counts(id))!.state === 'completed');
  expect(hook.letters).toHaveLength(0);
  await house.producer.restart();
  await eventually('it begins to tell', () => hook.letters.length === 1);
  await house.producer.end('SIGKILL');
  await house.producer.restart();
  await eventually('it is told', () => hook.letters.length === 2, 60_000);
  expect(await told(id)).toMatchObject({ attempts: 2 });
  expect(new Set(hook.letters.map(({ delivery }) => delivery)).size).toBe(1);
}, 120_000);
