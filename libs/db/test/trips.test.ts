import { randomUUID } from 'node:crypto';
import { createServer, connect, type AddressInfo } from 'node:net';
import { createStatements, openDatabase } from '@bullpen/db';
import { databaseForTest, idleFacts, texts } from '@bullpen/testkit';
import { describe, expect, it } from 'vitest';
import { acceptBatch, join } from './work.ts';

/** Counts the trips between client and server: how often the direction of the bytes turns. */
async function countingProxy(target: URL): Promise<{ url: string; trips: () => number; close: () => void }> {
  let trips = 0;
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    let last: 'up' | 'down' = 'down';
    client.on('data', (bytes) => {
      if (last === 'down') trips += 1;
      last = 'up';
      upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      last = 'down';
      client.write(bytes);
    });
    for (const socket of [client, upstream])
      socket.on('error', () => undefined).on('close', () => (client.destroy(), upstream.destroy()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(target);
  url.hostname = '127.0.0.1';
  url.port = String((server.address() as AddressInfo).port);
  return { url: url.href, trips: () => trips, close: () => server.close() };
}

describe('round trips', () => {
  it('each statement takes one, once its session knows it', async () => {
    const database = await databaseForTest();
    const proxy = await countingProxy(new URL(database.url));
    const { db, close } = openDatabase({ url: proxy.url, max: 1, name: 'trips', durable: true });
    const statements = createStatements(db, { reconnectMs: 0 });
    const worker = randomUUID();
    const claim = randomUUID();
    await join({ statements }, worker);
    const { id } = await acceptBatch(database, { total: 100, size: 10 });
    const batch = () => ({ id: randomUUID(), name: null, handler: 'echo', total: 1, params: null, options: '{}' });
    const each: Record<string, () => Promise<unknown>> = {
      acceptCount: () => statements.acceptCount(batch(), 1),
      acceptInputs: () => statements.acceptInputs(batch(), [{ first: 0, size: 1, items: '[1]' }]),
      due: () => statements.due(),
      windows: () => statements.windows({ leaseMs: 5000 }),
      mark: () => statements.mark({ handlers: ['echo'], slots: [1, 2], itemsMax: 1000 }),
      claim: () => statements.claim({ nos: [1, 2, 3], claim, worker, handlers: ['echo'] }),
      flush: () =>
        statements.flush([
          { no: 1, claim, first: 0, succeeded: 1, outputs: texts([1]), indexes: null, failures: [], rests: [] },
        ]),
      heartbeat: () => statements.heartbeat({ worker, claims: [claim], batches: [1], facts: idleFacts, orphanMs: 0 }),
      own: () => statements.own({ worker, leaseMs: 5000, releasing: [] }),
      help: () => statements.help({ worker, leaseMs: 5000 }),
      repair: () => statements.repair({ leaseMs: 5000 }),
      queued: () => statements.queued({ ageMs: 0 }),
      lost: () => statements.lost([{ no: 1, generation: 1 }]),
      limits: () => statements.limits(['batch:1']),
      leaseSlots: () =>
        statements.leaseSlots([{ batch: 'batch:1', handler: null, cost: 1, starts: 1, leadMs: 0, debtMs: 0 }]),
      sharePermits: () =>
        statements.sharePermits({ worker, leaseMs: 5000, asked: [{ name: 'batch:1', wanted: 1, used: 0 }] }),
      counts: () => statements.counts(id),
      partitions: () => statements.partitions({ leaseMs: 5000 }),
      results: () => statements.results({ batch: 1, after: -1, limit: 10, status: 'all', maxBytes: 1e6 }),
    };
    const trips: Record<string, number> = {};
    for (const [name, run] of Object.entries(each)) {
      await run();
      const before = proxy.trips();
      await run();
      trips[name] = proxy.trips() - before;
    }
    await close();
    proxy.close();
    expect(trips).toEqual(Object.fromEntries(Object.keys(each).map((name) => [name, 1])));
  });
});
