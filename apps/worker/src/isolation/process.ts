import { createStatements, openDatabase } from '@bullpen/db';
import { loadHandlers } from '@bullpen/handlers';
import { createLog, loadSettings, Refusal, runProcess } from '@bullpen/runtime';
import type { Totals } from '../figures.ts';
import { claimAndRun } from '../process-chunk.ts';
import { createRunner } from '../runner.ts';
import type { Answer, Order } from './isolation.ts';
import { runItem } from './run-item.ts';

/**
 * A process in which suspects run for a worker, one after the other and nothing else: what dies with it is its own
 * doing. It has a worker id, a heartbeat and a watchdog of its own, and two connections.
 */
const settings = loadSettings();
const name = process.argv[2]!;
const log = createLog({ name, level: settings.logLevel });

await runProcess(log, settings.drainTimeoutMs, async () => {
  const { databaseUrl } = settings;
  if (databaseUrl === undefined) throw new Refusal('set DATABASE_URL: a worker starts this process by itself');
  const handlers = await loadHandlers(settings.handlers.split(','));
  const database = openDatabase({
    url: databaseUrl,
    max: 2,
    name: `bullpen worker ${name}`,
    durable: false,
    keepsPlans: true,
  });
  const statements = createStatements(database.db, { reconnectMs: Infinity });
  let running: { chunk: number; stopped: boolean; over: Promise<void> } | null = null;
  let draining = false;
  const runner = createRunner({
    statements,
    databaseUrl,
    handlers,
    settings,
    log,
    name,
    pins: null,
    isolated: true,
    mayStart: () => !draining && running?.stopped === false,
    facts: () => ({ chunksInFlight: runner.inHand.size, roundTripMs: { redis: null, postgres: 0 } }),
  });
  await runner.start();

  async function run(chunk: number, publishedAt: number): Promise<void> {
    const before = { ...runner.figures.totals };
    await claimAndRun({ chunk, batchNo: null, publishedAt, order: 0, alone: true }, runner.running);
    running = null;
    answer({ over: chunk, done: since(before, runner.figures.totals) });
  }

  process.on('message', (order: Order) => {
    if ('item' in order) void runItem(order, runner.running).then(answer);
    else if ('run' in order) running = { chunk: order.run, stopped: false, over: run(order.run, order.publishedAt) };
    else if (running?.chunk === order.stop) {
      running.stopped = true;
      runner.dismiss();
    }
  });

  return {
    ready: { id: runner.id },
    drain: async () => {
      draining = true;
      runner.expectEnd();
      runner.dismiss();
      await running?.over;
      await runner.stop();
      await database.close();
    },
  };
});

/** But not its chunks, by which a worker measures its own speed. */
function since(before: Totals, now: Totals): Partial<Totals> {
  const counts = Object.entries(now).map(([name, count]) => [name, count - before[name as keyof Totals]]);
  return { ...Object.fromEntries(counts), chunks: 0 } as Partial<Totals>;
}

function answer(message: Answer): void {
  if (process.connected) process.send!(message);
}
