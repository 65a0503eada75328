import { readRunFile, type Settings } from '@bullpen/runtime';
import { Failure, exitCode } from '../failure.ts';

/** Where the servers and the producer are, as far as this machine can tell. */
export interface Place {
  databaseUrl: string;
  /** Null: there is none to look at. */
  redisUrl: string | null;
  /** Null: only the database can say whether one runs. */
  producerUrl: string | null;
  /** Servers of ours write to DATA_DIR. */
  embedded: boolean;
}

/** The servers of DATABASE_URL and REDIS_URL, else those of the Bullpen that runs on DATA_DIR. Nothing is started. */
export async function findPlace({ databaseUrl, redisUrl, bullpenUrl, dataDir }: Settings): Promise<Place> {
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
    redisUrl: redisUrl ?? (run?.redisUrl || null),
    producerUrl: bullpenUrl ?? announced,
    embedded: run !== null && Object.values(run.embedded).some(Boolean),
  };
}
