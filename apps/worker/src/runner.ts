import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Statements, WorkerFacts } from '@bullpen/db';
import { type Catalog, createCaches } from '@bullpen/handlers';
import { createLoop, type Log, type Settings } from '@bullpen/runtime';
import { createClaims } from './claims.ts';
import { createFigures, type Phase } from './figures.ts';
import { createFlushes } from './flushes.ts';
import { createHands } from './hands.ts';
import { createHeartbeat } from './heartbeat.ts';
import { createLimits } from './limits/limits.ts';
import { createPlans } from './plans.ts';
import { createSlots } from './slots.ts';
import { createSpeed } from './speed.ts';
import { createThreads } from './threads/threads.ts';
import { createTimeouts } from './timeouts.ts';
import { concurrencyFirst, createTuning } from './tuning.ts';
import { createMarks } from './watchdog/marks.ts';
import { startWatchdog } from './watchdog/watchdog.ts';

export interface RunnerDeps {
  statements: Statements;
  /** For the watchdog, which has a connection of its own. */
  databaseUrl: string;
  handlers: Catalog;
  settings: Settings;
  log: Log;
  /** Told of each claim, run and flush; left out where nobody looks. */
  observe?: ((phase: Phase, ms: number) => void) | undefined;
  name: string;
  /** Partitions it asks for by itself. */
  pins: readonly number[] | null;
  /** It runs suspects for another worker: it has no part in anything else, and is shown nowhere. */
  isolated: boolean;
  /** False while the worker drains, or cannot be sure of its leases. */
  mayStart: () => boolean;
  /** Batches of the lines in hand; left out where none can be. */
  lineBatches?: () => readonly number[];
  /** What it says of itself beside its speed. */
  facts: () => Omit<
    WorkerFacts,
    | 'chunksMax'
    | 'chunksAside'
    | 'tuned'
    | 'itemsDone'
    | 'itemsPerSecond'
    | 'chunksPerSecond'
    | 'turnaroundMs'
    | 'lagP99Ms'
  >;
}

const afterErrorMs = 100;

/** What runs chunks under a worker id of its own: claims, handlers, flushes, the heartbeat, and the watchdog over all. */
export function createRunner(deps: RunnerDeps) {
  const { statements, settings, handlers, log } = deps;
  const id = randomUUID();
  const names = [...handlers.keys()];
  const figures = createFigures(deps.observe);
  const concurrency = settings.workerConcurrency === 'auto' ? concurrencyFirst : settings.workerConcurrency;
  const slots = createSlots(concurrency);
  const { name, pins, isolated } = deps;
  const { leaseMs } = settings;
  const bounds = {
    sliceMs: settings.chunkSliceMs,
    outputMaxBytes: settings.outputMaxBytes,
    sliceMaxBytes: settings.flushMaxBytes,
  };
  const threads = createThreads({
    folders: settings.handlers.split(','),
    name,
    logLevel: settings.logLevel,
    pretty: process.stdout.isTTY,
    concurrency,
    leaseMs,
    log,
    ...bounds,
  });
  const limits = createLimits({ statements, workerId: id, handlers: names, leaseMs, slots, log });
  const hands = createHands({ chunks: settings.workerChunks, concurrency, threads: threads.size });
  const claims = createClaims({ statements, workerId: id, handlers: names, jitterMs: settings.claimJitterMs, figures });
  const timeouts = createTimeouts();
  const marks = createMarks();
  const plans = createPlans({
    statements,
    handlers,
    caches: createCaches(),
    timeouts,
    marks,
    log,
    figures,
    gateOf: (batch, handler) => limits.gateOf(batch, handler),
    hasBarrier: settings.testBreakOrder !== 'barrier',
  });
  const inHand = new Map<number, { batch: number | null }>();
  const flushes = createFlushes({
    statements,
    maxItems: settings.flushMaxItems,
    maxBytes: settings.flushMaxBytes,
    intervalMs: settings.flushIntervalMs,
    inHand: () => inHand.size,
    figures,
  });
  const speed = createSpeed(figures.totals);
  const tuning = createTuning({ settings, slots, hands, flushes });
  const roundTripMs = (): number => heartbeat.leastMs() ?? deps.facts().roundTripMs.postgres;
  const facts = (): WorkerFacts => {
    const said = deps.facts();
    return {
      chunksMax: hands.limit(),
      chunksAside: hands.aside,
      itemsDone: figures.totals.items,
      ...speed.rates(),
      turnaroundMs: figures.turnaroundMs,
      lagP99Ms: figures.lag.p99Ms,
      ...(isolated ? { isolated } : {}),
      tuned: {
        concurrency: settings.workerConcurrency === 'auto',
        chunks: settings.workerChunks === 'auto',
        concurrencyMax: slots.max,
        flushesMax: flushes.max,
        itemMs: Math.round(slots.itemMs * 100) / 100,
      },
      ...said,
      roundTripMs: { ...said.roundTripMs, postgres: Math.round(roundTripMs() * 100) / 100 },
    };
  };
  const worker = { id, name, host: hostname(), pid: process.pid, handlers: names, concurrency, pins, isolated };
  const heartbeat = createHeartbeat({
    statements,
    worker,
    leaseMs,
    claims,
    plans,
    inHand,
    lineBatches: deps.lineBatches ?? (() => []),
    facts,
    log,
  });
  const watchdog = startWatchdog({ marks, worker: id, name, databaseUrl: deps.databaseUrl, settings });
  let beats: ReturnType<typeof createLoop> | null = null;
  /** Whatever waits for its turn looks whether it may go on. */
  const dismiss = (): void => {
    slots.dismiss();
    threads.dismiss();
  };

  return {
    id,
    concurrency,
    figures,
    /** Items and chunks a second, as the heartbeat says them. */
    rates: speed.rates,
    /** Chunks in hand by number, from claim to flush. */
    inHand,
    isFresh: heartbeat.isFresh,
    dismiss,
    /** What a run of a chunk needs. */
    running: {
      hands,
      claims,
      plans,
      flushes,
      figures,
      slots,
      threads,
      timeouts,
      marks,
      inHand,
      limits,
      ...bounds,
      mayStart: () => heartbeat.isFresh() && deps.mayStart(),
    },
    /** Says that it is there, from now on. */
    async start(): Promise<void> {
      await statements.register({ ...worker, facts: facts() });
      await watchdog.ready;
      beats = createLoop({
        name: 'heartbeat',
        log,
        once: async () => {
          tuning.adjust({ roundTripMs: roundTripMs(), chunksPerSecond: speed.measure().chunksPerSecond });
          await heartbeat.beat();
          dismiss();
          return Math.min(1000, leaseMs / 5);
        },
        afterErrorMs,
      });
    },
    /** From now on an end of the process is nothing to be held against what it has in hand. */
    expectEnd: watchdog.expectEnd,
    /** After the last chunk: nothing of it is left. */
    async stop(): Promise<void> {
      await beats?.stop();
      await threads.close();
      await limits.close();
      await statements.leave(id);
      await watchdog.stop();
    },
  };
}
