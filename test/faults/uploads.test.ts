import { setTimeout as sleep } from 'node:timers/promises';
import {
  checkLedger,
  createDice,
  eventually,
  freePort,
  hasRedis,
  type House,
  startApp,
  startHouse,
} from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';
import { seed } from './seed.ts';

let house: House;
afterEach(() => house.stop());

/** Kills of the producer in the middle of an upload; 30 and more by hand: `UPLOAD_KILLS=30 npm test -- test/faults/uploads`. */
const kills = Number(process.env['UPLOAD_KILLS'] ?? 5);
const lines = 60_000;
const body = Array.from({ length: lines }, (_, a) => `{"a":${a},"b":1}\n`).join('');
const patience = 30_000 + kills * 15_000;

interface Said {
  status: number;
  id: string | null;
}

/**
 * Sends the lines in parts, so that the upload lasts for some hundred ms. A cut connection is status 0. `onHalf` is waited for when half of
 * them are sent.
 */
async function upload(key: string, name: string, url = house.url(), onHalf?: () => Promise<unknown>): Promise<Said> {
  async function* parts(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < body.length; at += 32_768) {
      if (at - 32_768 < body.length / 2 && at >= body.length / 2) await onHalf?.();
      yield Buffer.from(body.slice(at, at + 32_768));
      await sleep(8);
    }
  }
  try {
    const response = await fetch(`${url}/v1/batches?handler=add&name=${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': key },
      body: parts() as never,
      duplex: 'half',
    });
    const answer = (await response.json()) as { id?: string };
    return { status: response.status, id: answer.id ?? null };
  } catch {
    return { status: 0, id: null };
  }
}

/** What a client does whose connection broke: the same again, until it is told. */
const untilTold = (key: string, name: string, url?: string): Promise<string> =>
  eventually(
    'it is told',
    async () => {
      const { status, id } = await upload(key, name, url);
      expect([0, 202, 409, 503]).toContain(status);
      return status === 202 ? id : null;
    },
    30_000,
  );

describe('an upload whose producer is killed', () => {
  it(
    `X5 half-way and at ${kills - 1} random moments (seed ${seed}: I1, I2, I4, I5) is one batch with all of its lines, once it is sent again under its key`,
    async () => {
      const dice = createDice(seed);
      house = await startHouse({ workers: 1, env: { PORT: await freePort() } });
      const told: { id: string; before: Said }[] = [];
      for (let kill = 0; kill < kills; kill += 1) {
        const [key, name] = [`k-${kill}`, `batch-${kill}`];
        const end = (): Promise<unknown> => house.producer.end('SIGKILL');
        const first = upload(key, name, house.url(), kill === 0 ? end : undefined);
        if (kill > 0) await sleep(dice.below(450)).then(end);
        const before = await first;
        await house.producer.restart();
        told.push({ id: await untilTold(key, name), before });
      }
      console.log(`${kills} kills, ${told.filter(({ before }) => before.status === 202).length} after the answer`);
      expect(told[0]!.before.status).toBe(0);
      for (const { id, before } of told) {
        // What was answered before the kill is what is there.
        if (before.status === 202) expect(before.id).toBe(id);
        expect((await house.ended(id, 60_000)).counts).toMatchObject({ total: lines, succeeded: lines });
      }
      const names = await house.database.db.execute(sql`select name, count(*)::int as n from batches group by name`);
      expect(names.map((row) => (row as { n: number }).n)).toEqual(told.map(() => 1));
      const [sum] = await house.database.db.execute(sql`select sum((output->>'sum')::int)::float8 as sum from results`);
      expect(sum).toEqual({ sum: kills * ((lines * (lines - 1)) / 2 + lines) });
      expect(await checkLedger(house.database)).toEqual([]);
      await eventually('nothing is left of the uploads that were cut', async () => {
        const [left] = await house.database.db.execute(sql`select (select count(*) from uploads)::int as uploads,
          (select count(*) from inputs i where not exists (select from batches b where b.no = i.batch))::int as inputs`);
        return (left as { uploads: number; inputs: number }).uploads === 0 && (left as { inputs: number }).inputs === 0;
      });
    },
    patience,
  );
});

describe('an upload whose producer is frozen', () => {
  it('X36 (I1, I2, I4, I5) is free for another producer after a lease, and its late end changes nothing', async () => {
    house = await startHouse({ workers: 1 });
    const { database, redisUrl } = house;
    const first = upload('frozen', 'frozen');
    await eventually('it is under way', async () => {
      const [row] = await database.db.execute(sql`select count(*)::int as n from inputs`);
      return (row as { n: number }).n > 0;
    });
    house.producer.signal('SIGSTOP');
    const env = { DATABASE_URL: database.url, REDIS_URL: redisUrl, QUEUE_BACKEND: hasRedis ? 'redis' : 'postgres' };
    const second = await startApp('producer', { ...env, PORT: '0', LEASE_MS: '1500', WORKERS: '3' });
    try {
      const id = await untilTold('frozen', 'frozen', String(second.facts()['url']));
      house.producer.signal('SIGCONT');
      expect([409, 503]).toContain((await first).status);
      expect(await untilTold('frozen', 'frozen')).toBe(id);
      expect((await house.ended(id)).counts).toMatchObject({ total: lines, succeeded: lines });
      expect(await checkLedger(database)).toEqual([]);
    } finally {
      await second.end('SIGKILL');
    }
  }, 60_000);
});
