import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, processStart } from './process-start.ts';

/** What the owner of a data folder tells others on this machine: `run.json`, readable by its user only, because the URLs hold passwords. */
export interface RunFile {
  pid: number;
  /** Tells the owner from a later process with the same pid. */
  start: string;
  startedAt: string;
  databaseUrl: string;
  /** Where the queues are kept; without Redis there is no `redisUrl`. */
  queueBackend: 'redis' | 'postgres';
  redisUrl: string | null;
  embedded: { postgres: boolean; redis: boolean };
  [fact: string]: unknown;
}

const pathOf = (dataDir: string) => join(dataDir, 'run.json');

/** The live owner's facts; null when nobody runs on this folder (a file left by a dead owner counts as nobody). */
export async function readRunFile(dataDir: string): Promise<RunFile | null> {
  try {
    const run = JSON.parse(await readFile(pathOf(dataDir), 'utf8')) as RunFile;
    return isAlive(run.pid, run.start) ? run : null;
  } catch {
    return null;
  }
}

type Facts = Pick<RunFile, 'databaseUrl' | 'queueBackend' | 'redisUrl' | 'embedded'> & Record<string, unknown>;

/** Replaces the file in one step, so that a reader never sees half of it. */
export async function writeRunFile(dataDir: string, facts: Facts): Promise<void> {
  const run = { ...facts, pid: process.pid, start: processStart(process.pid), startedAt: new Date().toISOString() };
  const fresh = `${pathOf(dataDir)}.${process.pid}`;
  await writeFile(fresh, `${JSON.stringify(run, null, 2)}\n`, { mode: 0o600 });
  await rename(fresh, pathOf(dataDir));
}

export const removeRunFile = (dataDir: string): Promise<void> => rm(pathOf(dataDir), { force: true });
