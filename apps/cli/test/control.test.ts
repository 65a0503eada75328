import { describe, expect, test } from 'vitest';
import { callCli } from './run-cli.ts';
import { batchId, batchOf, smallServer } from './small-server.ts';

const counts = { total: 40, pending: 0, running: 0, succeeded: 9, failed: 1, cancelled: 30 };

describe('control', () => {
  test.each([
    ['cancel', { state: 'cancelled', counts }, `Cancelled: batch ${batchId}, 9 succeeded, 1 failed, 30 not run.\n`],
    ['pause', { state: 'paused' }, /^Paused: batch .* done\. To go on: (pnpm|npm run -s) bullpen/],
    ['resume', { state: 'running' }, /^Runs: batch .* done\.\n$/],
    ['resume', { state: 'completed' }, /^Completed: batch /],
    ['retry', { state: 'running' }, /^Batch .* is running: .* failed\.\n$/],
  ] as const)('%s tells what became of the batch', async (action, answer, line) => {
    const body = batchOf(answer);
    const { url, paths } = await smallServer({
      'GET /v1/batches': () => ({ body: { items: [body], nextCursor: null } }),
      [`POST /v1/batches/${batchId}/${action}`]: () => ({ body }),
    });
    const { code, stdout } = await callCli([action, 'last', '--url', url]);
    expect(code).toBe(0);
    expect(stdout).toMatch(line);
    expect(paths).toEqual([`/v1/batches/${batchId}/${action}`]);
    expect(JSON.parse((await callCli([action, batchId, '--json', '--url', url])).stdout)).toEqual(body);
  });

  test('retry of one cause sends its fingerprint, and refuses what is none', async () => {
    const { url, posted } = await smallServer({
      [`POST /v1/batches/${batchId}/retry`]: () => ({ body: batchOf({ state: 'running' }) }),
    });
    await callCli(['retry', batchId, '--fingerprint', '0f6a1c2b3d4e', '--url', url]);
    expect(posted).toEqual([{ fingerprint: '0f6a1c2b3d4e' }]);
    const refused = await callCli(['retry', batchId, '--fingerprint', 'x', '--url', url]);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('twelve hex digits') });
  });

  test('what cannot be is told, with exit code 1', async () => {
    const detail = 'The batch is completed: there is nothing left to cancel';
    const body = { type: '/problems/invalid-state', title: 'No', status: 409, detail, instance: '/' };
    const { url } = await smallServer({ [`POST /v1/batches/${batchId}/cancel`]: () => ({ status: 409, body }) });
    const { code, stderr } = await callCli(['cancel', batchId, '--url', url]);
    expect(code).toBe(1);
    expect(stderr).toContain(detail);
  });
});
