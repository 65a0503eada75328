import { createServer } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { checkSameQueue, createStatements, createTraffic } from '@bullpen/db';
import { loadHandlers } from '@bullpen/handlers';
import { createMetrics } from '@bullpen/metrics';
import {
  armCrash,
  closeServer,
  crashPoint,
  createLag,
  createLog,
  createLoop,
  listen,
  loadSettings,
  runProcess,
} from '@bullpen/runtime';
import { createApp } from './http/app.ts';
import { openAccess } from './http/open-access.ts';
import { tuneServer } from './http/server.ts';
import { createSummaries } from './http/summaries.ts';
import { createAdmission } from './intake/admission.ts';
import { createUploads } from './intake/uploads.ts';
import { createCensus } from './metrics/census.ts';
import { addProducerMetrics } from './metrics/metrics.ts';
import { timeAccepts } from './metrics/time-accepts.ts';
import { openServers } from './open.ts';
import { createClean } from './publish/clean.ts';
import { createFigures } from './publish/figures.ts';
import { createFold, foldRound } from './publish/fold.ts';
import { startPublishing } from './publish/start.ts';
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

await runProcess(log, settings.drainTimeoutMs, async () => {
  const { leaseMs, metricsWindowMs } = settings;
  const folders = settings.handlers.split(',');
  const handlers = await loadHandlers(folders);
  const { databaseUrl, backend, database, installation } = await openServers(settings, log);
  const traffic = createTraffic();
  const metrics = createMetrics();
  const figures = createFigures(metrics.phases(['accept', 'mark', 'publish']));
  // A client waits: it is told 503 after 4 s. The loops go on by themselves.
  const statements = timeAccepts(createStatements(database.db, { reconnectMs: 4000, traffic }), figures);

  const publishing = startPublishing({ statements, settings, backend, installation, figures, log });
  const { publisher } = publishing;
  const reducer = createReducer({ folders });
  const foldOnce = createFold({ statements, handlers, reducer, log });
  const fold = createLoop({ name: 'fold', log, once: () => foldRound(foldOnce) });
  const tellings = createTellings({
    statements,
    summaries: createSummaries({ statements, handlers, reducer, log }),
    settings,
    log,
  });
  const uploads = createUploads({ statements, settings });
  const keep = createLoop({ name: 'keep uploads', log, once: () => uploads.keepOnce() });
  const clean = createLoop({ name: 'clean up', log, once: createClean({ statements, settings, log }) });
  const redisUrl = backend.kind === 'redis' ? backend.url : null;
  const admission = createAdmission({ statements, settings, redisUrl, databaseUrl, log });
  const admit = createLoop({ name: 'admission', log, once: () => admission.once() });

  const lag = createLag();
  setInterval(() => lag.close(), metricsWindowMs).unref();
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
    access: await openAccess({ statements, settings, log }),
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
      publishing.nudge();
    },
    onDeleted: () => clean.nudge(),
    readiness: async () => (await Promise.all([database.ping(), lookAtQueues()])).flat(),
  });
  const server = tuneServer(createServer(app));
  const url = await listen(server, { ...settings, setting: 'PORT', command: 'npm start' });
  const { partitions } = installation;
  log.info(
    { url, queues: publisher.backendName, partitions, ...publishing.sizes, handlers: handlers.size },
    'producer is ready',
  );
  return {
    ready: { url },
    drain: async () => {
      stopping.abort();
      const answered = closeServer(server);
      await Promise.all([publishing, fold, clean, admit, tellings].map((each) => each.stop()));
      await answered;
      // Not before: uploads that are read to their end have to be kept until then.
      await keep.stop();
      await Promise.all([publisher.close(), reducer.close()]);
      await database.close();
    },
  };
});
