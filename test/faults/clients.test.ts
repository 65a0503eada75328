import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDice, eventually, freePort, type House, openTrial, startHouse, type Trial } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { seed } from './seed.ts';

const leaseMs = 1500;

let house: House;
let trial: Trial;
beforeAll(async () => {
  const env = {
    HANDLERS: 'libs/handlers/src,libs/testkit/handlers',
    LEASE_MS: String(leaseMs),
    WORKER_CONCURRENCY: '20',
    PORT: await freePort(),
  };
  house = await startHouse({ workers: 2, env });
});
afterAll(() => house.stop());
beforeEach(() => void (trial = openTrial(house)));

describe('batches', () => {
  it(`X41 that are cancelled, paused, resumed and retried at random moments (seed ${seed}): I1, I2, I3, I4, I5, I7, I8`, async () => {
    const dice = createDice(seed);
    const cancelledAt = new Map<string, number>();
    // Seconds of work in hand: nothing of it may start for long after the cancel.
    const slow = await trial.submit({ count: 2000, ms: 500, options: { chunkSize: 200 } });
    await trial.started(1);
    await sleep(1000);
    expect(await trial.client.control(slow, 'cancel')).toBe(true);
    cancelledAt.set(slow, Date.now());
    const ids: string[] = [];
    for (let batch = 0; batch < 8; batch += 1)
      ids.push(
        await trial.submit({ count: 400, ms: 20, ...(batch % 2 ? { keys: 20 } : {}), options: { chunkSize: 20 } }),
      );
    // Some of their items fail, so that there is something to retry.
    const fails = { handler: 'fail', count: 200, params: { rate: 0.5 }, options: { maxAttempts: 1, chunkSize: 20 } };
    const failing = await Promise.all([trial.client.submit(fails), trial.client.submit(fails)]);
    ids.push(...failing);
    await house.ended(failing[0]);
    expect(await trial.client.control(failing[0], 'retry')).toBe(true);
    for (let step = 0; step < 60; step += 1) {
      const id = ids[dice.below(ids.length)]!;
      const action = (['pause', 'pause', 'resume', 'resume', 'resume', 'retry', 'cancel'] as const)[dice.below(7)]!;
      const isDone = await trial.client.control(id, action);
      if (action === 'cancel' && isDone && !cancelledAt.has(id)) cancelledAt.set(id, Date.now());
      await dice.wait(80);
    }
    for (const id of ids) await trial.client.control(id, 'resume');
    await trial.client.settle();
    const executions = await trial.executions();
    for (const [id, at] of cancelledAt) {
      const late = executions.filter(({ batch, startedAt }) => batch === id && startedAt > at + 2000);
      expect(late).toEqual([]);
    }
    const retried = await house.database.db.execute(sql`select from audit where action = 'retry' and changed`);
    expect(retried.length).toBeGreaterThan(0);
    expect(await trial.outcome()).toEqual([]);
  });
});

/** A client that reads as slowly as the test wants: nothing by itself. */
async function request(path: string): Promise<Socket> {
  const { hostname, port } = new URL(house.url());
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAccept: application/x-ndjson\r\n\r\n`);
  return socket;
}

const residentMb = async (): Promise<number> =>
  Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${house.producer.pid()}/status`, 'utf8'))![1]) / 1024;

/** Connections of the producer on which something is under way. */
const busyConnections = async (): Promise<number> => {
  const rows = await house.database.db.execute(sql`select from pg_stat_activity
    where application_name like 'bullpen producer%' and datname = current_database() and state <> 'idle' and query like '%results%'`);
  return rows.length;
};

describe('clients', () => {
  it('X42 of which 50 read 1 kB a second keep nobody else waiting: I1, I2, I4, I5, I9', async () => {
    const id = await trial.submit({ count: 20_000, text: 'x'.repeat(500), options: { chunkSize: 500 } });
    await trial.client.settle();
    const before = await residentMb();
    const slow = await Promise.all(Array.from({ length: 50 }, () => request(`/v1/batches/${id}/results`)));
    for (const socket of slow) await once(socket, 'readable');
    const reading = setInterval(() => slow.forEach((socket) => socket.read(1024)), 1000);
    onTestFinished(() => clearInterval(reading));
    await trial.submit({ count: 500, ms: 5 });
    await trial.client.settle();
    await eventually('no connection is busy with them', async () => (await busyConnections()) === 0);
    // 50 answers of 12 MB would be 600.
    expect((await residentMb()) - before).toBeLessThan(200);
    for (const socket of slow) socket.destroy();
    expect(await trial.outcome()).toEqual([]);
  });

  it('X43 that leave in the middle of an upload or an answer leave nothing behind: I4, I9, I10', async () => {
    const { hostname, port } = new URL(house.url());
    const line = '{"key":"k"}\n';
    for (let leaver = 0; leaver < 5; leaver += 1) {
      const socket = connect(Number(port), hostname);
      await once(socket, 'connect');
      const head = `POST /v1/batches?handler=journaled&name=left HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/x-ndjson\r\n`;
      socket.write(`${head}Bullpen-Options: {"params":{"file":"/dev/null"}}\r\nTransfer-Encoding: chunked\r\n\r\n`);
      const lines = line.repeat(20_000);
      socket.write(`${lines.length.toString(16)}\r\n${lines}\r\n`, () => socket.destroy());
      await once(socket, 'close');
    }
    const id = await trial.submit({ count: 5000, text: 'x'.repeat(500), options: { chunkSize: 500 } });
    await trial.client.settle();
    for (let leaver = 0; leaver < 20; leaver += 1) {
      const socket = await request(`/v1/batches/${id}/results`);
      await once(socket, 'readable');
      socket.destroy();
    }
    await eventually('nothing is left of the uploads', async () => {
      const rows = await house.database.db.execute<{
        n: number;
      }>(sql`select (select count(*) from uploads)::int + (select count(*) from batches where name = 'left')::int
        + (select count(*) from inputs i where not exists (select from batches b where b.no = i.batch))::int as n`);
      return rows[0]!.n === 0;
    });
    await eventually('nothing is left of the answers', async () => (await busyConnections()) === 0);
    expect(await trial.outcome()).toEqual([]);
  });

  it('X43 that read what is deleted see that it broke off: I10', async () => {
    const id = await trial.submit({ count: 20_000, text: 'x'.repeat(500), options: { chunkSize: 500 } });
    await trial.client.settle();
    expect(await trial.outcome()).toEqual([]);
    const socket = await request(`/v1/batches/${id}/results`);
    await once(socket, 'readable');
    expect((await fetch(`${house.url()}/v1/batches/${id}`, { method: 'DELETE' })).status).toBe(204);
    let text = '';
    socket.setEncoding('latin1').on('data', (part: string) => void (text += part));
    await once(socket, 'close');
    // The last chunk of HTTP is the sign that an answer is whole.
    expect(text.endsWith('0\r\n\r\n')).toBe(false);
    const rows = [...text.matchAll(/^\{"index":(\d+),.*\}\n/gm)].map(([, index]) => Number(index));
    expect(rows.length).toBeLessThan(20_000);
    // A row that a chunk of HTTP ends in is not among them.
    expect(rows.every((index, at) => at === 0 || index > rows[at - 1]!)).toBe(true);
  });

  it('X42 that go on after the last whole line of an answer that was cut see each result once: I10', async () => {
    const id = await trial.submit({ count: 5000, text: 'x'.repeat(100), options: { chunkSize: 500 } });
    await trial.client.settle();
    const seen: number[] = [];
    while (seen.length < 5000) {
      const response = await fetch(
        `${house.url()}/v1/batches/${id}/results${seen.length === 0 ? '' : `?after=${seen.at(-1)}`}`,
        {
          headers: { accept: 'application/x-ndjson' },
        },
      );
      const reader = response.body!.getReader();
      let text = '';
      // Each answer breaks off after a part.
      for (let part = await reader.read(); !part.done && text.length < 200_000; part = await reader.read())
        text += Buffer.from(part.value).toString();
      await reader.cancel();
      const whole = text.slice(0, text.lastIndexOf('\n') + 1);
      for (const line of whole.split('\n').filter(Boolean)) seen.push((JSON.parse(line) as { index: number }).index);
    }
    expect(seen).toEqual(Array.from({ length: 5000 }, (_, index) => index));
    expect(await trial.outcome()).toEqual([]);
  });

  it('X42 that page and stream through results while the producer is killed and its sessions ended see each once: I10', async () => {
    const count = 12_000;
    const id = await trial.submit({ count, text: 'x'.repeat(500), options: { chunkSize: 500 } });
    await trial.client.settle();
    let isOver = false;
    async function disturb(): Promise<void> {
      for (let fault = 1; !isOver; fault += 1) {
        await sleep(250);
        if (fault % 3 === 1) await house.producer.end('SIGKILL').then(() => house.producer.restart());
        else
          await house.database.db.execute(sql`select pg_terminate_backend(pid) from pg_stat_activity
            where application_name like 'bullpen producer%' and datname = current_database()`);
      }
    }
    const disturbing = disturb();
    const [paged, streamed] = await Promise.all([readPages(id), readStream(id)]);
    isOver = true;
    await disturbing;
    console.log(`${paged.cuts} of the pages did not come, the stream was cut ${streamed.cuts} times`);
    for (const { seen, cuts } of [paged, streamed]) {
      expect(seen).toEqual(Array.from({ length: count }, (_, index) => index));
      expect(cuts).toBeGreaterThan(0);
    }
    // How often its items ran before is not what this is about.
    expect(await trial.outcome({ repeatsMax: count })).toEqual([]);
  }, 90_000);
});

/** What a reader has seen, and how often it had to ask again. */
interface Read {
  seen: number[];
  cuts: number;
}

/** Asks for a page that did not come once more, with its cursor. */
async function readPages(id: string): Promise<Read> {
  const read: Read = { seen: [], cuts: 0 };
  for (let cursor: string | null = ''; cursor !== null;) {
    const { status, body } = await trial.client.ask(
      `/v1/batches/${id}/results?limit=50${cursor && `&cursor=${cursor}`}`,
    );
    if (status === 200) {
      const page = body as unknown as { items: { index: number }[]; nextCursor: string | null };
      read.seen.push(...page.items.map(({ index }) => index));
      cursor = page.nextCursor;
    } else {
      expect([0, 503]).toContain(status);
      read.cuts += 1;
      await sleep(50);
    }
  }
  return read;
}

/** Reads slowly, and goes on after the last whole line of an answer that broke off. One that ends must be whole. */
async function readStream(id: string): Promise<Read> {
  const read: Read = { seen: [], cuts: 0 };
  for (let isWhole = false; !isWhole;) {
    let text = '';
    try {
      const after = read.seen.length === 0 ? '' : `?after=${read.seen.at(-1)}`;
      const headers = { accept: 'application/x-ndjson' };
      const response = await fetch(`${house.url()}/v1/batches/${id}/results${after}`, { headers });
      if (response.status !== 200) throw new Error(String(response.status));
      for await (const part of response.body!) {
        text += Buffer.from(part).toString('latin1');
        await sleep(15);
      }
      isWhole = true;
    } catch {
      read.cuts += 1;
      await sleep(50);
    }
    const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
    for (const line of lines.filter(Boolean)) read.seen.push((JSON.parse(line) as { index: number }).index);
  }
  return read;
}
