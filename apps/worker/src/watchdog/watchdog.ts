import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Settings } from '@bullpen/runtime';
import { cells, exits, type Marks, viewsOf } from './marks.ts';
import { threadFile } from './thread-file.ts';

const turnEveryMs = 100;
/** What the watchdog may take to put down what a process that ends had in hand. */
const lastWordMs = 5000;

/** What the thread is told when it starts. */
export interface WatchdogData {
  shared: SharedArrayBuffer;
  worker: string;
  name: string;
  logLevel: string;
  databaseUrl: string;
  leaseMs: number;
}

/**
 * Starts the thread that watches over the main loop (thread.ts). When the process ends without a drain, it waits for the
 * thread to say what becomes of the chunks in hand: so a handler that calls `process.exit`, or throws where nobody
 * catches, costs no lease.
 */
export function startWatchdog(options: {
  marks: Marks;
  worker: string;
  name: string;
  databaseUrl: string;
  settings: Pick<Settings, 'logLevel' | 'leaseMs'>;
}) {
  const { marks, worker, name, databaseUrl, settings } = options;
  const { words } = viewsOf(marks.shared);
  const workerData: WatchdogData = {
    shared: marks.shared,
    worker,
    name,
    logLevel: settings.logLevel,
    databaseUrl,
    leaseMs: settings.leaseMs,
  };
  const thread = new Worker(threadFile, { name: 'watchdog', workerData });
  const ready = once(thread, 'online');
  const turns = setInterval(() => marks.turn(), turnEveryMs);
  let blameless = false;

  const onExit = (): void => {
    const asked = blameless ? exits.blameless : exits.asked;
    Atomics.store(words, cells.exit, asked);
    Atomics.wait(words, cells.exit, asked, lastWordMs);
  };
  process.on('exit', onExit);

  return {
    /** Resolves when it runs. */
    ready,
    /** From now on an end of the process is nothing to be held against what it has in hand. */
    expectEnd: (): void => void (blameless = true),
    async stop(): Promise<void> {
      process.off('exit', onExit);
      clearInterval(turns);
      await thread.terminate();
    },
  };
}
