import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createAccess, makeKey, rowOfKey } from '@bullpen/access';
import { createLog } from '@bullpen/runtime';
import { databaseForTest } from '@bullpen/testkit';
import express from 'express';
import { expect, onTestFinished, test } from 'vitest';
import { guardAccess } from '../src/http/access.ts';
import { leftSignal } from '../src/http/batches.ts';

test('who leaves while its key is looked for is answered nothing, and watched by nobody', async () => {
  const { statements } = await databaseForTest();
  const { key } = makeKey();
  await statements.createApiKey({
    ...rowOfKey(key),
    name: 'x',
    owner: '',
    scopes: ['admin'],
    rate: null,
    expiresAt: null,
  });
  const access = createAccess({ statements, hosts: null });
  let held = 0;
  let asked = 0;
  const slow = {
    ...access,
    holds: (id: string) => ((held += 1), access.holds(id)),
    caller: async (...args: Parameters<typeof access.caller>) => {
      asked += 1;
      await sleep(100);
      return access.caller(...args);
    },
  };
  const app = express();
  let reached = 0;
  app.use(guardAccess({ access: slow, log: createLog({ name: 'test', level: 'silent', pretty: false }) }));
  app.use((_req, res) => void ((reached += 1), res.end()));
  const server = createServer(app).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.write(`GET /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\n\r\n`);
  while (asked === 0) await sleep(5);
  socket.destroy();
  await sleep(1500);
  expect({ reached, held }).toEqual({ reached: 0, held: 0 });
});

test('the signal of a client that has left already is aborted', async () => {
  const aborted = new Promise<boolean>((resolve) => {
    const server = createServer((_req, res) => {
      res.once('close', () => setImmediate(() => resolve(leftSignal(res as never).aborted)));
    }).listen(0, '127.0.0.1', () => {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n', () => setTimeout(() => socket.destroy(), 50));
      onTestFinished(() => void server.close());
    });
  });
  expect(await aborted).toBe(true);
});
