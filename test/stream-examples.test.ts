import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { eventually, type House, startHouse } from '@bullpen/testkit';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';

let house: House;
afterEach(() => house.stop());

const reader = fileURLToPath(new URL('../examples/stream/reader.mjs', import.meta.url));

/** Runs the reader of the examples; `indexes` are those that it has printed. */
function startReader(id: string) {
  const child = spawn(process.execPath, [reader, id], {
    env: { ...process.env, BULLPEN_URL: house.url() },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill());
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  const lines = () => printed.split('\n').filter(Boolean);
  return {
    indexes: () => lines().map((line) => (JSON.parse(line) as { index: number }).index),
    closed: once(child, 'close') as Promise<[number]>,
  };
}

describe('examples/stream/reader.mjs', () => {
  it('prints nothing that stands behind an item that is not final, and all in order in the end', async () => {
    house = await startHouse({ workers: 2 });
    const keyed = { open: true, groupBy: 'key', ordered: true };
    const id = await house.submit({ handler: 'sleep', options: keyed });
    const post = (path: string, body: object) =>
      house.request(`/v1/batches/${id}/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const items = Array.from({ length: 200 }, (_, n) => ({ key: `k${n % 10}`, ms: n === 50 ? 8000 : 0 }));
    await post('items', items);
    const { indexes, closed } = startReader(id);
    // Of the slow one's group 15 wait behind it.
    await eventually('all others are over', async () => (await house.batch(id)).counts.succeeded === 200 - 15);
    await eventually('what is before the slow one is printed', () => indexes().length >= 50);
    expect(indexes()).toEqual(Array.from({ length: 50 }, (_, n) => n));
    await post('items', items.slice(0, 50));
    await post('close', {});
    expect(await closed).toEqual([0, null]);
    expect(indexes()).toEqual(Array.from({ length: 250 }, (_, n) => n));
  });
});
