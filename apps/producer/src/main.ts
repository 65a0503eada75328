import { createServer } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import {
  checkDatabase,
  checkSameQueue,
  createStatements,
  createTraffic,
  install,
  migrate,
  openDatabase,
  processName,
} from '@bullpen/db';
import { loadHandlers } from '@bullpen/handlers';
import { createMetrics } from '@bullpen/metrics';
import {
  checkQueues,
  createPublisher,
  prepareQueues,
  publishParallelism,
  publishQueueSize,
  queueConnections,
  queueBackend,
} from '@bullpen/queue';
import {
  armCrash,
  awaitServers,
  closeServer,
  crashPoint,
  createLag,
  createLog,
  createLoop,
  listen,
  loadSettings,
  Refusal,
  runProcess,
} from '@bullpen/runtime';
import { createApp } from './http/app.ts';
import { createSummaries } from './http/summaries.ts';
import { createAdmission } from './intake/admission.ts';
import { createUploads } from './intake/uploads.ts';
import { tuneServer } from './http/server.ts';
import { createCensus } from './metrics/census.ts';
import { addProducerMetrics } from './metrics/metrics.ts';
import { timeAccepts } from './metrics/time-accepts.ts';
import { createClean } from './publish/clean.ts';
import { createFigures } from './publish/figures.ts';
import { createFold, foldRound } from './publish/fold.ts';
import { createMend } from './publish/mend.ts';
import { publishOnce } from './publish/publish.ts';
import { createReport } from './publish/report.ts';
import { createReducer } from './reduce/reducer.ts';
import { createTellings } from './webhook/tellings.ts';

// Text on its way from a body to the database lives long enough to be taken for old, and is collected once the heap has grown
// fourfold: an upload of 1 GB took 330 MB. Collected at 1.5 times it takes 160 MB, and as long. V8 ignores what it does not know.
setFlagsFromString('--heap-growing-percent=50');

const settings = loadSettings();
armCrash(settings.testCrashAt);
const log = createLog({ name: 'producer', level: settings.logLevel });
if (settings.testing.length > 0)
  log.warn({ settings: settings.testing }, 'settings for tests are on: promises are broken on purpose');
/** Processes that were stopped just now are seen no more within this time. */
const goneMs = 3000;

await runProcess(log, settings.drainTimeoutMs, async () => {
  const { databaseUrl, leaseMs } = settings;
  if (databaseUrl === undefined) throw new Refusal('set DATABASE_URL, or start with: npm start, pnpm producer');
  const backend = queueBackend({ ...settings, databaseUrl });
  if (backend === null)
    throw new Refusal('set REDIS_URL or QUEUE_BACKEND=postgres, or start with: npm start, pnpm producer');
  const handlers = await loadHandlers(settings.handlers.split(','));
  const pools = (settings.databasePoolMax + queueConnections(backend.kind)) * (settings.workers + 1);
  await awaitServers([() => checkDatabase(databaseUrl, pools), () => checkQueues(backend)], log);
  await migrate(databaseUrl);
  const database = openDatabase({
    url: databaseUrl,
    max: settings.databasePoolMax,
    name: processName('producer', backend.kind),
    durable: true,
    keepsPlans: true,
  });
  await awaitServers([() => checkSameQueue(database.db, backend.kind)], log, goneMs);
  await prepareQueues(backend);
  const installation = await install(database.db, settings.partitions ?? null);
  // A client waits: it is told 503 after 4 s. The loops go on by themselves.
  const traffic = createTraffic();
  const metrics = createMetrics();
  const figures = createFigures(metrics.phases(['accept', 'mark', 'publish']));
  const statements = timeAccepts(createStatements(database.db, { reconnectMs: 4000, traffic }), figures);

  const parallelism = publishParallelism({ cpus: settings.cpus, override: settings.publishParallelism });
  const queueSize = publishQueueSize({ parallelism, batchSize: settings.publishChunkSize * settings.chunkSize });
  const publisher = createPublisher({
    backend,
    installationId: installation.id,
    partitions: installation.partitions,
    parallelism,
    jobsPerCall: settings.publishChunkSize,
    onAdded: () => crashPoint('between-adds'),
  });
  const report = createReport(log, { parallelism, queueSize, windowMs: settings.metricsWindowMs });
  const deps = { statements, publisher, settings: { leaseMs }, queueSize, report, figures, log };
  const publish = createLoop({
    name: 'publish',
    log,
    once: async () => {
      const nextMs = await publishOnce(deps);
      report.flush();
      return nextMs;
    },
  });
  const mendOnce = createMend(deps);
  const reducer = createReducer({ folders: settings.handlers.split(',') });
  const foldOnce = createFold({ statements, handlers, reducer, log });
  const fold = createLoop({ name: 'fold', log, once: () => foldRound(foldOnce) });
  const mend = createLoop({ name: 'mend', log, once: async () => (await mendOnce(), Math.min(1000, leaseMs / 5)) });

  const summaries = createSummaries({ statements, handlers, reducer, log });
  const tellings = createTellings({ statements, summaries, settings, log });

  const uploads = createUploads({ statements, settings });
  const keep = createLoop({ name: 'keep uploads', log, once: () => uploads.keepOnce() });
  const clean = createLoop({ name: 'clean up', log, once: createClean({ statements, settings, log }) });

  const admission = createAdmission({
    statements,
    settings,
    redisUrl: backend.kind === 'redis' ? backend.url : null,
    databaseUrl,
    log,
  });
  const admit = createLoop({ name: 'admission', log, once: () => admission.once() });
  const lag = createLag();
  setInterval(() => lag.close(), settings.metricsWindowMs).unref();
  const census = createCensus({ statements, log });
  addProducerMetrics(metrics, { figures, census, lag, traffic, pool: database.pool, leaseMs });

  const lookAtQueues = async (): Promise<readonly string[]> =>
    (await publisher.reachable())
      ? (await checkSameQueue(database.db, backend.kind)).problems
      : [`${publisher.backendName} takes no jobs`];
  const stopping = new AbortController();
  const app = createApp({
    stopping: stopping.signal,
    statements,
    handlers,
    reducer,
    uploads,
    admission,
    settings,
    installation,
    log,
    queues: publisher.queues,
    metrics,
    onAccepted: () => {
      crashPoint('after-accept');
      publish.nudge();
    },
    onDeleted: () => clean.nudge(),
    readiness: async () => (await Promise.all([database.ping(), lookAtQueues()])).flat(),
  });
  const server = createServer(app);
  tuneServer(server);
  const url = await listen(server, { ...settings, setting: 'PORT', command: 'npm start' });
  log.info(
    {
      url,
      queues: publisher.backendName,
      partitions: installation.partitions,
      parallelism,
      queueSize,
      handlers: handlers.size,
    },
    'producer is ready',
  );
  return {
    ready: { url },
    drain: async () => {
      stopping.abort();
      const answered = closeServer(server);
      await Promise.all([
        publish.stop(),
        mend.stop(),
        fold.stop(),
        clean.stop(),
        admit.stop(),
        tellings.stop(),
        answered,
      ]);
      // Not before: uploads that are read to their end have to be kept until then.
      await keep.stop();
      report.flush(true);
      await Promise.all([publisher.close(), reducer.close()]);
      await database.close();
    },
  };
});
