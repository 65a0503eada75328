import { checkDatabase, createStatements, install, migrate, openDatabase } from '@bullpen/db';
import { loadHandlers } from '@bullpen/handlers';
import { checkRedis, measureRedis } from '@bullpen/queue';
import { awaitServers, createLog, errorFacts, loadSettings, Refusal, runProcess } from '@bullpen/runtime';
import { startWorker } from './worker.ts';

const settings = loadSettings();
const log = createLog({ name: settings.workerId, level: settings.logLevel });

await runProcess(log, settings.drainTimeoutMs, async () => {
  const { databaseUrl, redisUrl } = settings;
  if (databaseUrl === undefined || redisUrl === undefined)
    throw new Refusal('set DATABASE_URL and REDIS_URL, or start with: npm start, pnpm worker');
  const handlers = await loadHandlers(settings.handlers.split(','));
  await awaitServers([() => checkDatabase(databaseUrl, settings.databasePoolMax), () => checkRedis(redisUrl)], log);
  await migrate(databaseUrl);
  // Nothing of a worker needs to wait for the disk: what is lost in a server crash is done again. The flush that ends a
  // batch asks for it itself.
  const database = openDatabase({
    url: databaseUrl,
    max: settings.databasePoolMax,
    name: `bullpen worker ${settings.workerId}`,
    durable: false,
  });
  const installation = await install(database.db, settings.partitions ?? null);
  const statements = createStatements(database.db, {
    reconnectMs: Infinity,
    onRetry: (verdict, error, tries) =>
      tries % 20 === 1 && log.warn({ verdict, tries, ...errorFacts(error) }, 'statement will be tried again'),
  });
  const [redis, postgres] = await Promise.all([measureRedis(redisUrl), database.measure()]);
  const roundTripMs = { redis, postgres };
  const worker = await startWorker({
    statements,
    installation,
    databaseUrl,
    redisUrl,
    handlers,
    settings,
    roundTripMs,
    log,
  });
  return {
    ready: { id: worker.id },
    drain: async () => {
      await worker.drain();
      await database.close();
    },
  };
});
