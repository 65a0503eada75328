import { createServer } from 'node:http';
import { checkDatabase, createStatements, install, migrate, openDatabase } from '@bullpen/db';
import { loadHandlers } from '@bullpen/handlers';
import { checkRedis, createPublisher, publishParallelism, publishQueueSize } from '@bullpen/queue';
import {
  awaitServers,
  closeServer,
  createLog,
  createLoop,
  listen,
  loadSettings,
  Refusal,
  runProcess,
} from '@bullpen/runtime';
import { createApp } from './http/app.ts';
import { tuneServer } from './http/server.ts';
import { createMend } from './publish/mend.ts';
import { publishOnce } from './publish/publish.ts';
import { createReport } from './publish/report.ts';

const settings = loadSettings();
const log = createLog({ name: 'producer', level: settings.logLevel });

await runProcess(log, settings.drainTimeoutMs, async () => {
  const { databaseUrl, redisUrl, leaseMs } = settings;
  if (databaseUrl === undefined || redisUrl === undefined)
    throw new Refusal('set DATABASE_URL and REDIS_URL, or start with: npm start, pnpm producer');
  const handlers = await loadHandlers(settings.handlers.split(','));
  const pools = settings.databasePoolMax * (settings.workers + 1);
  await awaitServers([() => checkDatabase(databaseUrl, pools), () => checkRedis(redisUrl)], log);
  await migrate(databaseUrl);
  const database = openDatabase({
    url: databaseUrl,
    max: settings.databasePoolMax,
    name: 'bullpen producer',
    durable: true,
  });
  const installation = await install(database.db, settings.partitions ?? null);
  // A client waits: it is told 503 after 4 s. The loops go on by themselves.
  const statements = createStatements(database.db, { reconnectMs: 4000 });

  const parallelism = publishParallelism({ cpus: settings.cpus, override: settings.publishParallelism });
  const queueSize = publishQueueSize({ parallelism, batchSize: settings.publishChunkSize * settings.chunkSize });
  const publisher = createPublisher({
    redisUrl,
    installationId: installation.id,
    partitions: installation.partitions,
    parallelism,
    jobsPerCall: settings.publishChunkSize,
  });
  const report = createReport(log, { parallelism, queueSize, windowMs: settings.metricsWindowMs });
  const deps = { statements, publisher, settings: { leaseMs }, queueSize, report, log };
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
  const mend = createLoop({ name: 'mend', log, once: async () => (await mendOnce(), Math.min(1000, leaseMs / 5)) });

  const stopping = new AbortController();
  const app = createApp({
    stopping: stopping.signal,
    statements,
    handlers,
    settings,
    installation,
    log,
    queues: publisher.queues,
    onAccepted: () => publish.nudge(),
    readiness: async () =>
      (
        await Promise.all([database.ping(), publisher.reachable().then((ok) => (ok ? [] : ['Redis does not answer']))])
      ).flat(),
  });
  const server = createServer(app);
  tuneServer(server);
  const url = await listen(server, { ...settings, setting: 'PORT', command: 'npm start' });
  log.info(
    { url, partitions: installation.partitions, parallelism, queueSize, handlers: handlers.size },
    'producer is ready',
  );
  return {
    ready: { url },
    drain: async () => {
      stopping.abort();
      const answered = closeServer(server);
      await Promise.all([publish.stop(), mend.stop(), answered]);
      report.flush(true);
      await publisher.close();
      await database.close();
    },
  };
});
