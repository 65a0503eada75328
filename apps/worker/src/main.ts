import { setFlagsFromString } from 'node:v8';
import { createAccess } from '@bullpen/access';
import {
  checkDatabase,
  checkSameQueue,
  createStatements,
  createTraffic,
  install,
  migrate,
  openDatabase,
  type Patience,
  processName,
  withRetry,
} from '@bullpen/db';
import { loadHandlers } from '@bullpen/handlers';
import { checkQueues, measureQueues, prepareQueues, queueConnections, queueBackend } from '@bullpen/queue';
import {
  armCrash,
  awaitServers,
  createLog,
  createQuiet,
  errorFacts,
  loadSettings,
  Refusal,
  runProcess,
} from '@bullpen/runtime';
import { openHealth } from './health.ts';
import { startWorker } from './worker.ts';

// Outputs wait for their flush as text, are taken for old, and are collected once the heap has grown fourfold. At 1.5 times a
// worker at full rate needs a fifth less memory and as much cpu. V8 ignores what it does not know.
setFlagsFromString('--heap-growing-percent=50');

const settings = loadSettings();
armCrash(settings.testCrashAt);
const log = createLog({ name: settings.workerId, level: settings.logLevel });
if (settings.testing.length > 0)
  log.warn({ settings: settings.testing }, 'settings for tests are on: promises are broken on purpose');
/** Processes that were stopped just now are seen no more within this time. */
const goneMs = 3000;
/** One read of the keys goes on for so long while the server is away. */
const keysMs = 4000;

await runProcess(log, settings.drainTimeoutMs, async () => {
  const { databaseUrl } = settings;
  if (databaseUrl === undefined) throw new Refusal('set DATABASE_URL, or start with: npm start, pnpm worker');
  const backend = queueBackend({ ...settings, databaseUrl });
  if (backend === null)
    throw new Refusal('set REDIS_URL or QUEUE_BACKEND=postgres, or start with: npm start, pnpm worker');
  // Nobody can ask: then nothing is counted for it, and a start loads less.
  const metrics = settings.workerPort === 0 ? null : (await import('./metrics.ts')).createWorkerMetrics();
  const health = await openHealth(settings, metrics);
  const handlers = await loadHandlers(settings.handlers.split(','));
  const pools = settings.databasePoolMax + queueConnections(backend.kind);
  await awaitServers([() => checkDatabase(databaseUrl, pools), () => checkQueues(backend)], log);
  await migrate(databaseUrl);
  // Nothing of a worker needs to wait for the disk: what is lost in a server crash is done again. The flush that ends a
  // batch asks for it itself.
  const database = openDatabase({
    url: databaseUrl,
    max: settings.databasePoolMax,
    name: processName('worker', backend.kind, settings.workerId),
    durable: false,
    keepsPlans: true,
  });
  await awaitServers([() => checkSameQueue(database.db, backend.kind)], log, goneMs);
  await prepareQueues(backend);
  const installation = await install(database.db, settings.partitions ?? null);
  const traffic = createTraffic();
  const sayRetry = createQuiet((facts) => log.warn(facts, 'statement will be tried again'));
  const patience: Patience = {
    reconnectMs: Infinity,
    traffic,
    onRetry: (verdict, error, tries) => {
      const facts = errorFacts(error);
      sayRetry(`${verdict} ${facts.code}`, { verdict, tries, ...facts });
    },
  };
  const statements = createStatements(database.db, patience);
  const [redis, postgres] = await Promise.all([measureQueues(backend), database.measure()]);
  const roundTripMs = { redis, postgres };
  const worker = await startWorker({
    statements,
    installation,
    databaseUrl,
    backend,
    handlers,
    settings,
    roundTripMs,
    log,
    observe: metrics?.observe,
  });
  metrics?.started(worker, { pool: database.pool, traffic });
  // It asks again by itself: what waited for ever would pile up while the server is away.
  const askedOnce = createStatements(database.db, { ...patience, reconnectMs: keysMs });
  const access = createAccess({ statements: askedOnce, hosts: settings.allowedHosts ?? null });
  if (metrics !== null) await withRetry(() => access.load(), patience);
  health.started(async () => (await Promise.all([database.ping(), worker.problems()])).flat(), access);
  return {
    ready: { id: worker.id },
    drain: async () => {
      health.stopping();
      await worker.drain();
      await database.close();
      await health.close();
    },
  };
});
