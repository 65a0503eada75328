import { constants } from 'node:os';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { openServices, readRunFile, type Services, type Settings } from '@bullpen/runtime';
import { exitCode, Failure } from '../failure.ts';
import { durationText } from '../text/numbers.ts';
import { startFleet, type Fleet, type FleetPlan } from './fleet.ts';
import { listenForStop, type StopRequest } from './signals.ts';

export interface RunPlan {
  settings: Settings;
  /** For the processes; the URLs of the servers are added. */
  env: Readonly<Record<string, string | undefined>>;
  mode: 'own' | 'join-or-own';
  producer: boolean;
  workers: number;
  say: (line: string) => void;
  /** Where the processes' logs go; null: to our own outputs. */
  log: Writable | null;
  /** Default: processes that stay as they are. */
  fleetOf?: (plan: FleetPlan) => Fleet;
  /** The exit code when someone asks to stop. */
  codeWhenStopped: () => number;
}

export interface Up {
  fleet: Fleet;
  services: Services;
  /** Aborted as soon as everything is to stop. */
  signal: AbortSignal;
}

/**
 * The life of everything this process runs: servers, then producer and workers side by side, then `work`; in the end all drain, then
 * the servers stop. It ends with what `work` answers, or earlier when someone asks, when a process cannot go on (its exit code), or when
 * the servers we joined are gone (1). A second Ctrl-C ends at once.
 */
export async function runFleet(plan: RunPlan, work: (up: Up) => Promise<number>): Promise<number> {
  const { settings, say, mode } = plan;
  refuseSharedPins(plan);
  let fleet: Fleet | null = null;
  const stop = listenForStop((signal) => {
    fleet?.kill();
    process.exit(128 + constants.signals[signal]);
  });
  try {
    void stop.asked.then(() => fleet ?? say('Stopping as soon as the servers are up; Ctrl-C again ends at once.'));
    const { dataDir, databaseUrl, redisUrl, queueBackend } = settings;
    const services = await openServices({ dataDir, databaseUrl, redisUrl, queueBackend, mode, say });
    try {
      if (stop.isAsked()) return plan.codeWhenStopped();
      const env = {
        ...plan.env,
        DATABASE_URL: services.databaseUrl,
        REDIS_URL: services.redisUrl ?? '',
        QUEUE_BACKEND: services.queueBackend,
      };
      fleet = (plan.fleetOf ?? startFleet)({ ...plan, env, drainTimeoutMs: settings.drainTimeoutMs });
      return await runUntilOver(plan, { fleet, services }, stop, work);
    } finally {
      await services.stop();
    }
  } finally {
    stop.dispose();
  }
}

/** Pins are of one worker: all of several would ask for the same partitions, and all but the first run unpinned. */
function refuseSharedPins({ settings: { workerIndex, workerPartitions }, workers }: RunPlan): void {
  if (workers <= 1 || (workerIndex === undefined && workerPartitions === undefined)) return;
  const name = workerIndex === undefined ? 'WORKER_PARTITIONS' : 'WORKER_INDEX';
  throw new Failure(
    `${name} pins one worker, and this starts ${workers}: unset it, since workers share the partitions by themselves,\n` +
      'or start each with its own: WORKER_INDEX=0 WORKER_COUNT=3 pnpm worker',
    exitCode.configuration,
  );
}

async function runUntilOver(
  { settings, say, codeWhenStopped }: RunPlan,
  { fleet, services }: Omit<Up, 'signal'>,
  stop: StopRequest,
  work: (up: Up) => Promise<number>,
): Promise<number> {
  const over = new AbortController();
  const working = work({ fleet, services, signal: over.signal });
  try {
    return await Promise.race([
      working,
      fleet.ended,
      stop.asked.then(codeWhenStopped),
      services.joined ? ownerGone(settings.dataDir, over.signal, fleet, say) : never,
    ]);
  } finally {
    over.abort();
    // Time to take its progress bar away.
    await Promise.race([working.catch(() => {}), delay(200)]);
    if (stop.isAsked()) say(stoppingText(settings.drainTimeoutMs));
    await fleet.stop();
  }
}

const stoppingText = (drainTimeoutMs: number): string =>
  `Stopping: what runs is finished or handed back (at most ${durationText(drainTimeoutMs)}). Ctrl-C again ends at once.`;

const OWNER_CHECK_MS = 1000;

/**
 * When whoever runs the servers has stopped, so have the servers, and the next ones will be elsewhere: nothing is left to do or to flush,
 * and the chunks in hand will be repaired.
 */
async function ownerGone(
  dataDir: string,
  signal: AbortSignal,
  fleet: Fleet,
  say: (line: string) => void,
): Promise<number> {
  const ownerPid = async (): Promise<number | undefined> => (await readRunFile(dataDir))?.pid;
  const owner = await ownerPid();
  for (let pid = owner; pid !== undefined && pid === owner; pid = await ownerPid()) {
    await delay(OWNER_CHECK_MS, undefined, { signal }).catch(() => {});
    if (signal.aborted) return 0;
  }
  say('The Bullpen that ran the servers has stopped, so this ends too. Start it again once that one runs.');
  // Stopped first, so that none is started again.
  void fleet.stop();
  fleet.kill();
  return 1;
}

const never = new Promise<never>(() => {});

/** For work that only serves. */
export const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
