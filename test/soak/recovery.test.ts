import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { expect, test } from 'vitest';
import { createFaults } from './faults.ts';
import { faultKinds } from './plan.ts';

/** `npm run soak -- --recovery [--only TEXT]` */
const isAsked = process.env['SOAK_RECOVERY'] !== undefined;
const kinds = faultKinds.filter((kind) => kind.includes(process.env['SOAK_ONLY'] ?? ''));
/** How long the rate is looked at before a fault, and from when on after it. */
const windowMs = 10_000;
const faultMs = 2000;
const wanted = 0.8;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

test.skipIf(!isAsked)(
  'how fast it goes on after each fault',
  async () => {
    expect(kinds, `faults are ${faultKinds.join(', ')}`).not.toEqual([]);
    const house = await startHouse({
      workers: 3,
      ownServers: true,
      proxied: true,
      env: { DATABASE_POOL_MAX: '6', WORKER_CONCURRENCY: '40' },
    });
    try {
      // Items that wait: their rate hangs on nothing but that the next ones are there. More than are done in the time.
      for (let batches = 0; batches < 4; batches += 1)
        await house.submit({ handler: 'sleep', count: 10_000_000, params: { ms: 5 } });
      const items = async (): Promise<number> => {
        const [row] = await eventually('the database answers', () =>
          house.database.db
            .execute<{ n: number }>(sql`select sum(succeeded)::float8 as n from batches`)
            .catch(() => null),
        );
        return row!.n;
      };
      const rate = async (): Promise<number> => {
        const [before, at] = [await items(), performance.now()];
        await sleep(windowMs);
        return ((await items()) - before) / ((performance.now() - at) / 1000);
      };
      const faults = createFaults(house);
      await eventually('it runs', async () => (await items()) > 50_000, 60_000);
      say(
        `items/s in ${windowMs / 1000} s before each fault, and in ${windowMs / 1000} s from ${windowMs / 1000} s after its end on`,
      );
      for (const kind of kinds) {
        const before = await rate();
        await faults.provoke({ kind, afterMs: 0, forMs: faultMs, which: 0 });
        await sleep(windowMs);
        const after = await rate();
        const ratio = after / before;
        say(
          `${kind.padEnd(28)} ${Math.round(before)} → ${Math.round(after)}  ${ratio.toFixed(2)} ×  ${ratio >= wanted ? 'holds' : 'MISSES'}`,
        );
      }
    } finally {
      await house.stop();
    }
  },
  60 * 60_000,
);
