import { setTimeout as delay } from 'node:timers/promises';
import { createClient, UnreachableError } from '@bullpen/api';
import {
  auditCounts,
  checkDatabase,
  createStatements,
  type Database,
  inspectServer,
  inspectSpace,
  inspectWaits,
  inspectWork,
  migrationState,
  openDatabase,
  type ServerFacts,
  type WorkFacts,
} from '@bullpen/db';
import { checkQueues, createPublisher, inspectRedis, measureQueues, queueConnections } from '@bullpen/queue';
import { recommendedPostgres, recommendedRedis, type Settings } from '@bullpen/runtime';
import { bad, ok, warn, type Finding } from './finding.ts';
import { judgeKeys } from './keys.ts';
import { judgeMachine } from './machine.ts';
import type { Place } from './place.ts';
import { judgeConnections, judgeCounts, judgeMigrations, judgeServer, judgeWaits } from './postgres.ts';
import { judgeRedis } from './redis.ts';
import { judgeSession, judgeSettings, sessionSettings } from './settings.ts';
import { judgePostgresTls, judgeRedisTls } from './tls.ts';
import { judgeSpace, judgeWork } from './work.ts';

/** Bounds of what is looked at, so that the doctor itself is no load: it ends within some 20 s on any database. */
const limits = {
  auditMs: 10_000,
  auditNewest: 100,
  blockedMs: 5000,
  idleMs: 60_000,
  queuedMs: 10_000,
  overdueMs: 600_000,
  shareMs: 3000,
};

/** Looks at everything, in the order in which one thing rests on the other. Reads only. */
export async function examine(settings: Settings, place: Place): Promise<Finding[]> {
  const machine = await judgeMachine(settings, place.embedded);
  const [postgres, queues] = await Promise.all([examinePostgres(settings, place), examineQueues(place, settings)]);
  return [...machine, ...postgres, ...queues];
}

async function examinePostgres(settings: Settings, place: Place): Promise<Finding[]> {
  const { problems } = await checkDatabase(place.databaseUrl, 1);
  if (problems.length > 0) return problems.map(asFinding('postgres'));
  // One connection: the time limit of the audit is the session's.
  const database = openDatabase({ url: place.databaseUrl, max: 1, name: 'bullpen doctor', durable: true });
  try {
    const names = [...recommendedPostgres.map(({ name }) => name), ...Object.keys(sessionSettings)];
    const roundTripMs = await database.measure();
    const facts = await inspectServer(database.db, names);
    const migrations = await migrationState(database.db);
    return [
      ...judgeServer(facts, roundTripMs, new URL(place.databaseUrl).host),
      judgePostgresTls(place.databaseUrl),
      ...judgeSettings('postgres', facts.settings, recommendedPostgres),
      judgeSession(facts.settings),
      judgeMigrations(migrations),
      ...judgeWaits(await inspectWaits(database.db, limits)),
      ...(migrations.missing.length > 0 ? [] : await examineWork(database.db, facts, settings, place)),
    ];
  } finally {
    await database.close();
  }
}

async function examineWork(db: Database, server: ServerFacts, settings: Settings, place: Place): Promise<Finding[]> {
  const facts = await settledWork(db, settings.leaseMs);
  // Between migration and first start nothing is there to look at.
  const { installationId } = facts;
  if (installationId === null) return [ok('work', 'nothing was started on this database yet')];
  const producers = server.connections.byName.filter(({ name }) => name === 'bullpen producer').length;
  const live = facts.workers.length;
  const plan = {
    workers: Math.max(live, settings.workers),
    producers: 1,
    poolMax: settings.databasePoolMax,
    forQueues: queueConnections(place.queue?.kind ?? 'redis'),
  };
  const audit = await auditCounts(db, { newest: limits.auditNewest, withinMs: limits.auditMs });
  return [
    ...judgeConnections(server, plan),
    ...judgeKeys(await createStatements(db, { reconnectMs: 1000 }).apiKeys(), Date.now()),
    await examineProducer(place.producerUrl, producers > 0, facts.batchesRunning > 0),
    ...judgeWork(facts, await countLost(db, { installationId, partitions: facts.partitions }, place)),
    ...judgeCounts(audit, limits.auditMs),
    judgeSpace(await inspectSpace(db, { afterMs: limits.overdueMs })),
  ];
}

/** Partitions that change hands are nobody's for a moment; only those that stay so are told. */
async function settledWork(db: Database, leaseMs: number): Promise<WorkFacts> {
  const deadline = performance.now() + limits.shareMs;
  for (;;) {
    const facts = await inspectWork(db, { leaseMs });
    const settled = facts.workers.length === 0 || facts.unowned.length === 0;
    if (settled || performance.now() > deadline) return facts;
    await delay(250);
  }
}

/** By its own word where we know its URL, else by its sessions: its loop asks the database four times a second. */
async function examineProducer(url: string | null, hasSessions: boolean, needed: boolean): Promise<Finding> {
  const judge = needed ? bad : warn;
  if (url === null) {
    return hasSessions
      ? ok('producer', 'one is connected to the database')
      : judge('producer', 'none is connected to the database: nothing is accepted or published', 'pnpm producer');
  }
  try {
    const problems = await createClient({ url }).ready();
    if (problems.length === 0) return ok('producer', `ready at ${url}`);
    return bad('producer', `${url} is not ready: ${problems.join('; ')}`, `curl ${url}/readyz`);
  } catch (error) {
    if (!(error instanceof UnreachableError)) {
      return warn('producer', `${url} answers, but not to us: ${(error as Error).message}`, `curl ${url}/readyz`);
    }
    return hasSessions
      ? warn(
          'producer',
          `none answers at ${url}, though one is connected to the database`,
          'set BULLPEN_URL to its URL',
        )
      : judge('producer', `none answers at ${url}`, 'pnpm producer');
  }
}

/** Chunks that have been queued for long and whose job BullMQ does not hold, of the 1 000 oldest. Null without an answer. */
async function countLost(
  db: Database,
  { installationId, partitions }: { installationId: string; partitions: number },
  { queue }: Place,
): Promise<number | null> {
  if (queue === null) return null;
  const queued = await createStatements(db, { reconnectMs: 0 }).queued({ ageMs: limits.queuedMs });
  if (queued.length === 0) return 0;
  const publisher = createPublisher({ backend: queue, installationId, partitions, parallelism: 1, jobsPerCall: 1 });
  try {
    return (await publisher.findLost(queued)).length;
  } catch {
    return null;
  } finally {
    await publisher.close();
  }
}

async function examineQueues({ queue }: Place, { redisMemoryMaxPercent }: Settings): Promise<Finding[]> {
  if (queue === null) return [warn('redis', 'REDIS_URL is not set, and no Bullpen runs on DATA_DIR', 'npm start')];
  if (queue.kind === 'postgres') return [ok('queues', 'are kept in PostgreSQL: no Redis is needed')];
  const { problems } = await checkQueues(queue);
  if (problems.length > 0) return problems.map(asFinding('redis'));
  const facts = await inspectRedis(
    queue.url,
    recommendedRedis.map(({ name }) => name),
  );
  return [
    ...judgeRedis(facts, (await measureQueues(queue)) ?? 0, new URL(queue.url).host, redisMemoryMaxPercent),
    judgeRedisTls(queue.url),
    ...judgeSettings('redis', facts.settings, recommendedRedis),
  ];
}

/** The line of a check that every start makes: what is wrong, a colon, what to do. */
function asFinding(check: string): (problem: string) => Finding {
  return (problem) => {
    const at = problem.indexOf(': ');
    return bad(check, at < 0 ? problem : problem.slice(0, at), at < 0 ? '' : problem.slice(at + 2));
  };
}
