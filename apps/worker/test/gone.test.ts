import { randomUUID } from 'node:crypto';
import { createCaches, defineHandler } from '@bullpen/handlers';
import { createLog } from '@bullpen/runtime';
import { databaseForTest, idleFacts } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createClaims } from '../src/claims.ts';
import { createFigures } from '../src/figures.ts';
import { openGate } from '../src/limits/gate.ts';
import { createLimits } from '../src/limits/limits.ts';
import { createPlans } from '../src/plans.ts';
import { claimAndRun, type ClaimDeps } from '../src/process-chunk.ts';
import { createSlots } from '../src/slots.ts';
import { createTimeouts } from '../src/timeouts.ts';
import { createMarks } from '../src/watchdog/marks.ts';

const echo = defineHandler({ name: 'echo', description: '', run: () => 1 });

describe('a chunk', () => {
  it('whose batch is deleted between its claim and the read of it is over', async () => {
    const { statements } = await databaseForTest();
    const [id, worker, figures] = [randomUUID(), randomUUID(), createFigures()];
    await statements.register({ id: worker, name: 'w', host: 'h', pid: 1, handlers: ['echo'], concurrency: 4, facts: idleFacts }); // prettier-ignore
    const batch = await statements.acceptCount({ id, name: null, handler: 'echo', total: 10, params: null, options: '{}' }, 10); // prettier-ignore
    const [marked] = await statements.mark({ handlers: ['echo'], slots: [0], itemsMax: 1e9 });
    const plans = createPlans({
      statements: {
        plan: async (no) => {
          await statements.cancel(batch);
          expect(await statements.remove(id)).toBe(true);
          return statements.plan(no);
        },
      },
      handlers: new Map([['echo', echo]]),
      caches: createCaches(),
      timeouts: createTimeouts(),
      marks: createMarks(),
      log: createLog({ name: 'test', level: 'silent', pretty: false }),
      figures,
      gateOf: () => openGate,
    });
    const claims = createClaims({ statements, workerId: worker, handlers: ['echo'], jitterMs: 0, figures });
    // It comes to nothing of the rest.
    const deps = { claims, plans, inHand: new Map() } as unknown as ClaimDeps;
    const claiming = { chunk: marked!.no, batchNo: null, publishedAt: Date.now(), order: 0, alone: false };
    expect(await claimAndRun(claiming, deps)).toBe('over');
    expect(claims.live()).toEqual([]);
    expect(deps.inHand.size).toBe(0);
  });

  it('that is not to be had ends no process where its limits cannot be read', async () => {
    const { db, statements } = await databaseForTest();
    await db.execute(sql`alter table limits rename to elsewhere`);
    const [workerId, figures, handlers] = [randomUUID(), createFigures(), ['echo']];
    const log = createLog({ name: 'test', level: 'silent', pretty: false });
    const limits = createLimits({ statements, workerId, handlers, leaseMs: 1000, slots: createSlots(4), log });
    onTestFinished(() => limits.close());
    const claims = createClaims({ statements, workerId, handlers, jitterMs: 0, figures });
    const deps = { claims, limits, inHand: new Map() } as unknown as ClaimDeps;
    const loose: unknown[] = [];
    const hear = (error: unknown): unknown => loose.push(error);
    process.on('unhandledRejection', hear);
    onTestFinished(() => void process.off('unhandledRejection', hear));
    const claiming = { chunk: 1, batchNo: 1, publishedAt: Date.now(), order: 0, alone: false };
    expect(await claimAndRun(claiming, deps)).toBe('over');
    await expect(limits.freshen(1)).rejects.toThrow('limits');
    await new Promise(setImmediate);
    expect(loose).toEqual([]);
  });
});
