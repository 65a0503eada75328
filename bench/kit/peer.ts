import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Servers } from './servers.ts';

const file = fileURLToPath(new URL('../peers/run.mjs', import.meta.url));
/** One that has lost an item would be waited for for ever. */
const timeoutMs = 600_000;

/** Modules in bench/peers. */
export type PeerName = 'sketch' | 'bullmq' | 'pg-boss' | 'graphile-worker' | 'groupmq';

export interface PeerRun {
  itemsPerSecond: number;
  /** Of its first items, with new processes. */
  firstPerSecond: number;
  /** Items that it takes in a second, while it works at them. */
  submittedPerSecond: number;
  /** How it does the work: what its rate can be compared with only beside this. */
  kept: string;
}

type PeerSaid = Omit<PeerRun, 'itemsPerSecond'> & { perSecond: number; missing: number };

/** One run of a peer on a database of its own. Throws unless it has stored a row for each item. */
export async function runPeer(
  servers: Servers,
  name: PeerName,
  { items, workers, iterations }: { items: number; workers: number; iterations: number },
): Promise<PeerRun> {
  const database = await servers.createDatabase();
  try {
    const args = ['main', name, items, workers, iterations].map(String);
    const env = { ...process.env, DATABASE_URL: database.url, REDIS_URL: servers.redisUrl };
    const child = fork(file, args, { env, stdio: ['ignore', 'pipe', 'inherit', 'ipc'], timeout: timeoutMs });
    let said = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (said += text));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`${name} ended with ${code ?? 'a signal'} before its last item`);
    const { perSecond, missing, ...rest } = JSON.parse(said) as PeerSaid;
    if (missing !== 0) throw new Error(`${name} has stored ${missing} rows too few`);
    return { itemsPerSecond: perSecond, ...rest };
  } finally {
    await database.drop();
  }
}
