import { checkDatabase, checkSameQueue, install, migrate, openDatabase, processName } from '@bullpen/db';
import { checkQueues, prepareQueues, queueBackend, queueConnections } from '@bullpen/queue';
import { awaitServers, type Log, Refusal, type Settings } from '@bullpen/runtime';

/** Processes that were stopped just now are seen no more within this time. */
const goneMs = 3000;

/** Both servers, once they answer and fit: the database migrated, the queues prepared, and what was fixed at the first start. */
export async function openServers(settings: Settings, log: Log) {
  const { databaseUrl } = settings;
  if (databaseUrl === undefined) throw new Refusal('set DATABASE_URL, or start with: npm start, pnpm producer');
  const backend = queueBackend({ ...settings, databaseUrl });
  if (backend === null)
    throw new Refusal('set REDIS_URL or QUEUE_BACKEND=postgres, or start with: npm start, pnpm producer');
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
  return { databaseUrl, backend, database, installation: await install(database.db, settings.partitions ?? null) };
}
