import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Installation, Statements, WorkerFacts } from '@bullpen/db';
import { type Catalog, createCaches } from '@bullpen/handlers';
import { createConsumers, type QueueBackend, backendName } from '@bullpen/queue';
import { createLoop, errorFacts, type Log, type Settings } from '@bullpen/runtime';
import { createClaims } from './claims.ts';
import { createFigures } from './figures.ts';
import { createFlushes } from './flushes.ts';
import { autoConcurrency, createHands } from './hands.ts';
import { createHandBacks } from './hand-backs.ts';
import { createHeartbeat } from './heartbeat.ts';
import { createHelping } from './helping.ts';
import { createOwnership, type Ownership } from './ownership.ts';
import { pinsOf } from './pins.ts';
import { createPlans } from './plans.ts';
import { createCompany } from './company.ts';
import { processChunk } from './process-chunk.ts';
import { createServing } from './serving.ts';
import { createSlots } from './slots.ts';
import { createTimeouts } from './timeouts.ts';
import { createMarks } from './watchdog/marks.ts';
import { startWatchdog } from './watchdog/watchdog.ts';

export interface WorkerDeps {
  statements: Statements;
  installation: Installation;
  backend: QueueBackend;
  /** For the watchdog, which has a connection of its own. */
  databaseUrl: string;
  handlers: Catalog;
  settings: Settings;
  roundTripMs: { redis: number | null; postgres: number };
  log: Log;
}

const afterErrorMs = 100;

/** Starts a worker: registers, owns partitions, runs their chunks. `drain` ends it and loses nothing. */
export async function startWorker(deps: WorkerDeps) {
  const { statements, settings, log } = deps;
  const id = randomUUID();
  const names = [...deps.handlers.keys()];
  const figures = createFigures();
  const concurrency = settings.workerConcurrency === 'auto' ? autoConcurrency : settings.workerConcurrency;
  const slots = createSlots(concurrency);
  const hands = createHands({ chunks: settings.workerChunks, concurrency });
  const claims = createClaims({ statements, workerId: id, handlers: names, jitterMs: settings.claimJitterMs, figures });
  const timeouts = createTimeouts();
  const marks = createMarks();
  const plans = createPlans({
    statements,
    handlers: deps.handlers,
    caches: createCaches(),
    timeouts,
    marks,
    log,
    figures,
  });
  const flushes = createFlushes({
    statements,
    maxItems: settings.flushMaxItems,
    maxBytes: settings.flushMaxBytes,
    intervalMs: settings.flushIntervalMs,
    figures,
  });
  const inHand = new Map<number, { batch: number | null }>();
  const helping = createHelping({ statements, workerId: id, leaseMs: settings.leaseMs, log });
  let draining = false;

  const speed = createSpeed(figures.totals);
  const facts = (): WorkerFacts => {
    const rates = speed.measure();
    hands.settles(rates.chunksPerSecond);
    return {
      chunksInFlight: inHand.size,
      itemsDone: figures.totals.items,
      chunksMax: hands.limit(),
      ...rates,
      turnaroundMs: figures.turnaroundMs,
      roundTripMs: deps.roundTripMs,
      idle: helping.idle(),
      lagP99Ms: figures.lagP99Ms,
    };
  };
  const worker = {
    id,
    name: settings.workerId,
    host: hostname(),
    pid: process.pid,
    handlers: names,
    concurrency,
    pins: pinsOf(settings, deps.installation.partitions),
  };
  const watchdog = startWatchdog({ marks, worker: id, databaseUrl: deps.databaseUrl, settings });
  await statements.register({ ...worker, facts: facts() });

  const heartbeat = createHeartbeat({
    statements,
    worker,
    leaseMs: settings.leaseMs,
    claims,
    plans,
    inHand,
    facts,
    log,
  });
  const processDeps = {
    hands,
    claims,
    plans,
    flushes,
    figures,
    slots,
    timeouts,
    marks,
    company: createCompany(),
    inHand,
    sliceMs: settings.chunkSliceMs,
    outputMaxBytes: settings.outputMaxBytes,
    sliceMaxBytes: settings.flushMaxBytes,
    mayStart: () => !draining && heartbeat.isFresh() && ownership.isFresh(),
    handBack: createHandBacks(statements.lost),
  };
  const consumers = createConsumers({
    backend: deps.backend,
    installationId: deps.installation.id,
    leaseMs: settings.leaseMs,
    onError: (error) => log.debug(errorFacts(error), 'queue'),
  });
  const serving = createServing({
    process: (job, publishedAt, closing) => processChunk(job, publishedAt, () => closing() || draining, processDeps),
    // A processor never throws into BullMQ: what cannot be settled ends this process, and others repair it.
    openConsumer: (partition, prefetch, process) =>
      consumers.open(partition, prefetch, (job, publishedAt) => process(job, publishedAt).catch(crash)),
    onClosing: () => {
      hands.dismiss();
      slots.dismiss();
    },
    handsMax: hands.limit,
  });
  const ownership = createOwnership({
    statements,
    workerId: id,
    leaseMs: settings.leaseMs,
    serving,
    helping,
    onDrained: () => renewals.nudge(),
    log,
  });
  const renewals = createLoop({ name: 'own', log, once: () => ownership.renew(), afterErrorMs });
  await Promise.all([hasPartitions(ownership), watchdog.ready]);
  log.info(
    {
      worker: settings.workerId,
      partitions: ownership.partitions(),
      pins: worker.pins ?? undefined,
      concurrency,
      concurrencyFrom: settings.workerConcurrency === 'auto' ? 'auto' : 'WORKER_CONCURRENCY',
      chunks: hands.limit(),
      chunksFrom: settings.workerChunks === 'auto' ? 'auto, up to 64' : 'WORKER_CHUNKS',
      queues: backendName[deps.backend.kind],
      roundTripMs: deps.roundTripMs,
    },
    'worker is ready',
  );

  const beatMs = Math.min(1000, settings.leaseMs / 5);
  const beats = createLoop({
    name: 'heartbeat',
    log,
    once: async () => {
      await heartbeat.beat();
      slots.dismiss();
      return beatMs;
    },
    afterErrorMs,
  });
  const idle = setInterval(() => inHand.size === 0 && figures.idled(100), 100);
  const writeWindow = (): void => {
    const window = figures.closeWindow();
    if (window !== null) log.info(window, 'window');
  };
  const windows = setInterval(writeWindow, settings.metricsWindowMs);

  return {
    id,
    /** What keeps it from work, one line each: only what this process knows, and the queues. */
    async problems(): Promise<string[]> {
      return [
        ...(heartbeat.isFresh() ? [] : ['the heartbeat is late']),
        ...(ownership.isFresh() ? [] : ['the leases of its partitions are not renewed']),
        ...((await consumers.reachable()) ? [] : [`${backendName[deps.backend.kind]} does not answer`]),
      ];
    },
    async drain(): Promise<void> {
      draining = true;
      watchdog.expectEnd();
      await ownership.retire();
      await renewals.stop();
      await consumers.close();
      await beats.stop();
      await statements.leave(id);
      await watchdog.stop();
      clearInterval(idle);
      clearInterval(windows);
      writeWindow();
      log.info(
        { items: figures.totals.items, chunks: figures.totals.chunks, fenced: figures.totals.fenced },
        'worker has drained',
      );
    },
  };
}

/** Waits a moment for the first partitions. Without any (more workers than partitions) the worker is ready all the same. */
async function hasPartitions(ownership: Ownership): Promise<void> {
  for (let tries = 0; tries < 20 && ownership.partitions().length === 0; tries += 1) await sleep(50);
}

/** Items and chunks a second, since the last time it was asked. */
function createSpeed(totals: { items: number; chunks: number }) {
  let last = { at: performance.now(), items: 0, chunks: 0 };
  let rates = { itemsPerSecond: 0, chunksPerSecond: 0 };
  return {
    measure(): { itemsPerSecond: number; chunksPerSecond: number } {
      const now = performance.now();
      const seconds = (now - last.at) / 1000;
      if (seconds > 0.2) {
        rates = {
          itemsPerSecond: Math.round((totals.items - last.items) / seconds),
          chunksPerSecond: Math.round(((totals.chunks - last.chunks) / seconds) * 10) / 10,
        };
        last = { at: now, items: totals.items, chunks: totals.chunks };
      }
      return rates;
    },
  };
}

/** Out of the promise chain of BullMQ, to where the process ends for it. */
function crash(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
