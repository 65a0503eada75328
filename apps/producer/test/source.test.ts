import { createHash } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Request } from 'express';
import { expect, it } from 'vitest';
import { readBody } from '../src/intake/source.ts';

const pace = { silentMs: 60, bytesPerSecond: 1000, patienceMs: 100 };
const read = async (stream: PassThrough, source: Parameters<typeof readBody>[1]): Promise<number> => {
  let bytes = 0;
  for await (const part of readBody(stream as unknown as Request, source)) bytes += part.length;
  return bytes;
};
const tooSlow = { slug: 'request-timeout' };

it('reads all of a body, and hashes it', async () => {
  const stream = new PassThrough();
  const hash = createHash('sha256');
  const all = read(stream, { hash, pace });
  for (let part = 0; part < 5; part += 1) {
    stream.write(Buffer.alloc(1000));
    await sleep(40);
  }
  stream.end();
  expect(await all).toBe(5000);
  expect(hash.digest('hex')).toBe(createHash('sha256').update(Buffer.alloc(5000)).digest('hex'));
});

it('gives up on one that says nothing, one that trickles, and one that takes too long', async () => {
  await expect(read(new PassThrough(), { pace })).rejects.toMatchObject(tooSlow);
  const stops = new PassThrough();
  stops.write('x');
  await expect(read(stops, { pace })).rejects.toMatchObject(tooSlow);
  const trickle = new PassThrough();
  const dripping = setInterval(() => trickle.write('x'), 20);
  await expect(read(trickle, { pace })).rejects.toMatchObject(tooSlow);
  await expect(read(trickle, { pace: { ...pace, bytesPerSecond: 1 }, totalMs: 150 })).rejects.toMatchObject(tooSlow);
  clearInterval(dripping);
});

it('counts the time that the client takes, not the time that we take', async () => {
  const stream = new PassThrough();
  for (let part = 0; part < 4; part += 1) stream.write('x');
  stream.end();
  let parts = 0;
  for await (const _ of readBody(stream as unknown as Request, { pace })) {
    parts += 1;
    await sleep(100);
  }
  expect(parts).toBeGreaterThan(0);
});
