import { setTimeout as sleep } from 'node:timers/promises';
import type { Installation, Statements } from '@bullpen/db';
import type { Catalog } from '@bullpen/handlers';
import { createConsumers, type QueueBackend, backendName } from '@bullpen/queue';
import { createLoop, errorFacts, type Log, type Settings } from '@bullpen/runtime';
import { createHandBacks, createPassing } from './hand-backs.ts';
import { createHelping } from './helping.ts';
import { createIsolation } from './isolation/isolation.ts';
import { createLines } from './lines/lines.ts';
import { createOwnership, type Ownership } from './ownership.ts';
import { pinsOf } from './pins.ts';
import { processChunk } from './process-chunk.ts';
import { createRunner, type RunnerDeps } from './runner.ts';
import { createServing } from './serving.ts';

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
  /** See `RunnerDeps`. */
  observe?: RunnerDeps['observe'];
}

const afterErrorMs = 100;

/** Starts a worker: registers, owns partitions, runs their chunks. `drain` ends it and loses nothing. */
export async function startWorker(deps: WorkerDeps) {
  const { statements, settings, log } = deps;
  const name = settings.workerId;
  const pins = pinsOf(settings, deps.installation.partitions);
  let draining = false;
  const runner = createRunner({
    ...deps,
    name,
    pins,
    isolated: false,
    mayStart: () => !draining && ownership.isFresh(),
    lineBatches: () => lines.batches(),
    facts: () => ({
      chunksInFlight: chunksInHand(),
      roundTripMs: deps.roundTripMs,
      idle: helping.idle(),
      pinsHeldBy: ownership.pinsHeldBy(),
    }),
  });
  const { id, figures } = runner;
  const { hands } = runner.running;
  const chunksInHand = (): number => runner.inHand.size + isolation.size() + lines.batches().length;
  const helping = createHelping({ statements, workerId: id, leaseMs: settings.leaseMs, log });
  const isolation = createIsolation({
    statements,
    leaseMs: settings.leaseMs,
    name,
    onDone: (done) => figures.add(done),
    log,
  });
  const lines = createLines({
    ...runner.running,
    statements,
    isolation,
    workerId: id,
    handlers: [...deps.handlers.keys()],
    flushMaxItems: settings.flushMaxItems,
    leaseOf: (partition) => ownership.leaseOf(partition),
    leasedAt: (partition) => ownership.leasedAt(partition),
  });
  const handBack = createHandBacks(statements.lost);
  const processDeps = {
    ...runner.running,
    isolation,
    lines,
    handBack,
    pass: createPassing(handBack),
    isOwner: (partition: number) => ownership.leaseOf(partition) !== null,
  };
  const consumers = createConsumers({
    backend: deps.backend,
    installationId: deps.installation.id,
    leaseMs: settings.leaseMs,
    onError: (error) => log.debug(errorFacts(error), 'queue'),
  });
  const serving = createServing({
    process: (job, publishedAt, closing, onAside) =>
      processChunk(job, publishedAt, () => closing() || draining, processDeps, onAside),
    // A processor never throws into BullMQ: what cannot be settled ends this process, and others repair it.
    openConsumer: (partition, prefetch, process) =>
      consumers.open(partition, prefetch, (job, publishedAt) => process(job, publishedAt).catch(crash)),
    onClosing: () => {
      hands.dismiss();
      runner.dismiss();
      isolation.dismiss();
    },
    handsMax: hands.limit,
    isHelping: () => ownership.partitions().length === 0,
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
  await runner.start();
  const renewals = createLoop({ name: 'own', log, once: () => ownership.renew(), afterErrorMs });
  await hasPartitions(ownership);
  log.info(
    {
      worker: name,
      partitions: ownership.partitions(),
      pins: pins ?? undefined,
      concurrency: runner.concurrency,
      concurrencyFrom: settings.workerConcurrency === 'auto' ? 'auto, up to 2 000' : 'WORKER_CONCURRENCY',
      chunks: hands.limit(),
      chunksFrom: settings.workerChunks === 'auto' ? 'auto, up to 256' : 'WORKER_CHUNKS',
      queues: backendName[deps.backend.kind],
      roundTripMs: deps.roundTripMs,
    },
    'worker is ready',
  );

  const idle = setInterval(() => runner.inHand.size + lines.batches().length === 0 && figures.idled(100), 100);
  const writeWindow = (): void => {
    const window = figures.closeWindow();
    if (window !== null) log.info(window, 'window');
  };
  const windows = setInterval(writeWindow, settings.metricsWindowMs);

  return {
    id,
    figures,
    chunksInHand,
    partitions: ownership.partitions,
    renewedAgoMs: ownership.renewedAgoMs,
    itemsPerSecond: (): number => runner.rates().itemsPerSecond,
    /** What keeps it from work, one line each: only what this process knows, and the queues. */
    async problems(): Promise<string[]> {
      return [
        ...(runner.isFresh() ? [] : ['the heartbeat is late']),
        ...(ownership.isFresh() ? [] : ['the leases of its partitions are not renewed']),
        ...((await consumers.reachable()) ? [] : [`${backendName[deps.backend.kind]} does not answer`]),
      ];
    },
    async drain(): Promise<void> {
      draining = true;
      runner.expectEnd();
      await ownership.retire();
      await renewals.stop();
      await consumers.close();
      await isolation.close();
      await runner.stop();
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

/** Out of the promise chain of BullMQ, to where the process ends for it. */
function crash(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
