import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Servers } from './servers.ts';

const folder = fileURLToPath(new URL('../peers/', import.meta.url));

/** Modules in bench/peers. */
export type PeerName = 'sketch' | 'bullmq' | 'pg-boss' | 'graphile-worker' | 'groupmq';

export interface PeerRun {
  itemsPerSecond: number;
  /** Items it takes in a second, alone. */
  submittedPerSecond: number;
  kept: string;
}

/** One run of a peer on a database of its own. Throws unless it has stored a row for each item. */
export async function runPeer(
  servers: Servers,
  name: PeerName,
  { items, workers, iterations }: { items: number; workers: number; iterations: number },
): Promise<PeerRun> {
  const database = await servers.createDatabase();
  try {
    const args = ['run.mjs', 'main', name, items, workers, iterations].map(String);
    const env = { ...process.env, DATABASE_URL: database.url, REDIS_URL: servers.redisUrl };
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: folder, env });
    const { seconds, submitSeconds, rows, kept } = JSON.parse(stdout) as Record<string, number> & { kept: string };
    if (rows !== items) throw new Error(`${name} stored ${rows} rows of ${items}`);
    return { itemsPerSecond: items / seconds!, submittedPerSecond: items / submitSeconds!, kept };
  } finally {
    await database.drop();
  }
}
