import type { ChildProcess } from 'node:child_process';
import type { Writable } from 'node:stream';
import { supervise, type Supervised } from '@bullpen/runtime';
import { producerArgs, workerArgs } from './entries.ts';

export interface FleetPlan {
  /** For all of them; DATABASE_URL and REDIS_URL included. */
  env: Readonly<Record<string, string | undefined>>;
  producer: boolean;
  workers: number;
  drainTimeoutMs: number;
  say: (line: string) => void;
  /** Where their logs go; null: to our own outputs. */
  log: Writable | null;
}

export interface Fleet {
  /** Resolves with the producer's URL once it answers; never without a producer. */
  url: Promise<string>;
  /** Resolves once each process was ready; never when one ended for good before, of which `ended` tells. */
  ready: Promise<unknown>;
  /** Resolves with the exit code of the first process that is not started again, or with 1 when one does not get ready at all. */
  ended: Promise<number>;
  /** Asks all to drain at once, workers first; resolves when they are gone, within the drain's time plus 5 s. */
  stop(): Promise<void>;
  /** SIGKILL for all: what they hold is repaired by others. */
  kill(): void;
}

/** Starts all processes side by side, each of them again when it dies. */
export function startFleet(plan: FleetPlan): Fleet {
  let heardUrl: (url: string) => void = () => {};
  const url = new Promise<string>((resolve) => {
    heardUrl = resolve;
  });
  // It checks that the connections of so many workers fit.
  const beside = plan.workers > 0 ? { WORKERS: String(plan.workers) } : {};
  const producers = plan.producer
    ? [start(plan, 'producer', producerArgs(plan.env), beside, ({ url }) => typeof url === 'string' && heardUrl(url))]
    : [];
  const workers = Array.from({ length: plan.workers }, (_, at) =>
    start(plan, plan.workers > 1 ? `worker ${at + 1}` : 'worker', workerArgs(plan.env), ownOfWorker(plan, at)),
  );
  const all = [...workers, ...producers];
  const ready = Promise.all(all.map((each) => each.ready)).catch(() => new Promise(() => {}));
  return {
    url,
    ready,
    ended: Promise.race(all.map((each) => each.ended)),
    stop: async () => void (await Promise.all(all.map((each) => each.stop()))),
    kill: () => all.forEach(killGroup),
  };
}

/** What must differ where a setting names one for all: the worker's name, and the port on which it answers. */
const ownOfWorker = ({ env, workers }: FleetPlan, at: number): Record<string, string> => ({
  ...(env['WORKER_ID'] && workers > 1 ? { WORKER_ID: `${env['WORKER_ID']}-${at + 1}` } : {}),
  ...(Number(env['WORKER_PORT'] ?? 0) > 0 ? { WORKER_PORT: String(Number(env['WORKER_PORT']) + at) } : {}),
});

function start(
  { env, drainTimeoutMs, say, log }: FleetPlan,
  name: string,
  args: string[],
  more: Record<string, string>,
  onReady: (facts: Record<string, unknown>) => void = () => {},
): Supervised {
  const onStart = (child: ChildProcess): void => {
    if (log === null) return;
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log, { end: false });
  };
  return supervise({
    name,
    args,
    env: { NODE_ENV: 'production', ...env, ...more },
    say,
    stdio: log === null ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
    onReady,
    onStart,
    drainTimeoutMs,
  });
}

/** Each leads a group of its own (supervise starts it detached), so what it started ends with it. */
function killGroup(supervised: Supervised): void {
  const pid = supervised.pid();
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}
