import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openServices, readSettings } from '@bullpen/runtime';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  export interface ProvidedContext {
    databaseUrl: string;
    /** null: there is none, and the queues of all tests are in PostgreSQL. */
    redisUrl: string | null;
  }
}

/**
 * One PostgreSQL and one Redis for the whole run: those of DATABASE_URL and REDIS_URL, else embedded ones in a folder of
 * their own. With QUEUE_BACKEND=postgres, and where no Redis can be had, there is no Redis.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'bullpen-test-'));
  const services = await openServices({
    dataDir,
    databaseUrl: process.env['DATABASE_URL'] || undefined,
    redisUrl: process.env['REDIS_URL'] || undefined,
    queueBackend: readSettings(process.env).queueBackend,
    mode: 'own',
    say: (line) => console.log(line),
  });
  project.provide('databaseUrl', services.databaseUrl);
  project.provide('redisUrl', services.redisUrl);
  return async () => {
    await services.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
}
