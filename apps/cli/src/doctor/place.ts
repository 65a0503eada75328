import { type QueueBackend, queueBackend } from '@bullpen/queue';
import { readRunFile, type Settings } from '@bullpen/runtime';
import { Failure, exitCode } from '../failure.ts';

/** Where the servers and the producer are, as far as this machine can tell. */
export interface Place {
  databaseUrl: string;
  /** Where the queues are kept; null: nobody says. */
  queue: QueueBackend | null;
  /** Null: only the database can say whether one runs. */
  producerUrl: string | null;
  /** Servers of ours write to DATA_DIR. */
  embedded: boolean;
}

/** The servers of DATABASE_URL and REDIS_URL, else those of the Bullpen that runs on DATA_DIR. Nothing is started. */
export async function findPlace(settings: Settings): Promise<Place> {
  const { databaseUrl, bullpenUrl, dataDir } = settings;
  const run = await readRunFile(dataDir);
  const database = databaseUrl ?? run?.databaseUrl;
  if (database === undefined) {
    throw new Failure(
      `No Bullpen runs on ${dataDir}, and DATABASE_URL is not set: start one (npm start), or name the servers to look at.`,
      exitCode.configuration,
    );
  }
  const announced = typeof run?.['url'] === 'string' ? run['url'] : null;
  return {
    databaseUrl: database,
    queue: queueBackend({
      queueBackend: run?.queueBackend ?? settings.queueBackend,
      databaseUrl: database,
      redisUrl: settings.redisUrl ?? run?.redisUrl ?? undefined,
    }),
    producerUrl: bullpenUrl ?? announced,
    embedded: run !== null && Object.values(run.embedded).some(Boolean),
  };
}
