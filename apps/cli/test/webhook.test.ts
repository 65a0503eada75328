import { expect, test } from 'vitest';
import { callCli } from './run-cli.ts';
import { batchId, batchOf, smallServer } from './small-server.ts';

const secret = 'a-secret-of-more-than-16';
const url = 'https://example.org/done';
const submit = ['submit', '--handler', 'echo', '--count', '5', '--webhook', url, '--url'];

test('a webhook is submitted with the secret of the environment, which is not printed', async () => {
  const server = await smallServer({
    'POST /v1/batches': () => ({ status: 202, body: batchOf({ state: 'running' }) }),
  });
  const { code, stdout, stderr } = await callCli([...submit, server.url], { BULLPEN_WEBHOOK_SECRET: secret });
  expect(code).toBe(0);
  expect(server.posted).toEqual([{ handler: 'echo', count: 5, options: { webhook: { url, secret } } }]);
  expect(stdout + stderr).not.toContain(secret);
});

test('a webhook without a secret is refused, and says where it belongs', async () => {
  const { url: server } = await smallServer({});
  const refused = await callCli([...submit, server]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('BULLPEN_WEBHOOK_SECRET') });
});

test.each([
  [{ state: 'waiting', attempts: 0, lastStatus: null, lastError: null }, `waiting: ${url}`],
  [{ state: 'delivered', attempts: 1, lastStatus: 204, lastError: null }, `delivered, 1 try: ${url}`],
  [
    { state: 'failed', attempts: 31, lastStatus: 500, lastError: 'it was answered 500' },
    `failed, 31 tries: ${url} (it was answered 500)`,
  ],
])('show tells what has come of it: %j', async (webhook, line) => {
  const body = batchOf({ webhook: { url, ...webhook } });
  const server = await smallServer({ [`GET /v1/batches/${batchId}`]: () => ({ body }) });
  const { stdout } = await callCli(['show', batchId, '--url', server.url]);
  expect(stdout.replaceAll(/ +/g, ' ')).toContain(`webhook ${line}\n`);
});
