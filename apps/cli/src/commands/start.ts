import type { Command } from 'commander';
import { readSettings, type Settings } from '@bullpen/runtime';
import type { Context } from '../context.ts';
import { printLines } from '../context.ts';
import { durationText, itemsText } from '../text/numbers.ts';
import { startFleet, type Fleet, type FleetPlan } from '../processes/fleet.ts';
import { requireFreePort, requireFreeWorkerPorts } from '../processes/port.ts';
import { runFleet, untilAborted, type Up } from '../processes/run-fleet.ts';

export function addStart(program: Command, context: Context): void {
  program
    .command('start')
    .summary('serve until Ctrl-C: servers, producer and workers (npm start)')
    .description(
      'Sets everything up and serves until Ctrl-C: PostgreSQL and Redis (unless DATABASE_URL and REDIS_URL are set; ' +
        'where no Redis can be had, the queues are kept in PostgreSQL), ' +
        'the producer with REST, dashboard and Bull Board, and WORKERS workers, each started again when it dies. ' +
        'Ctrl-C or SIGTERM: what runs is finished or handed back, within DRAIN_TIMEOUT_MS (25 s unless set) and 5 s more.',
    )
    .addHelpText('after', '\nExamples:\n  npm start\n  PORT=3001 WORKERS=8 npm start')
    .action(async () => {
      const settings = readSettings(context.env);
      context.setExitCode(
        await serve(context, settings, { command: 'npm start', fleetOf: startFleet, work: untilAborted }),
      );
    });
}

export interface Serving {
  /** What to type again when a port is taken. */
  command: string;
  fleetOf: (plan: FleetPlan) => Fleet;
  /** What there is to do from when all are ready until the end, which aborts the signal. */
  work: (signal: AbortSignal) => Promise<void>;
}

/** Everything on this machine, until someone asks to stop. Answers the exit code. */
export async function serve(context: Context, settings: Settings, serving: Serving): Promise<number> {
  const began = performance.now();
  const say = (line: string): void => printLines(context.stdout, [line]);
  await requireFreePort(settings, serving.command);
  await requireFreeWorkerPorts(settings, serving.command);
  const { workers } = settings;
  const { fleetOf } = serving;
  const plan = { settings, env: context.env, mode: 'own', producer: true, workers, say, log: null, fleetOf } as const;
  const code = await runFleet({ ...plan, codeWhenStopped: () => 0 }, async (up) => {
    await tell(up, settings, began, say);
    await serving.work(up.signal);
    return 0;
  });
  if (code === 0) say('Stopped.');
  return code;
}

async function tell(
  { fleet, services }: Up,
  settings: Settings,
  began: number,
  say: (line: string) => void,
): Promise<void> {
  const url = await fleet.url;
  await services.announce({ url });
  say(welcome(url, settings, services.queueBackend).join('\n'));
  await fleet.ready;
  say(`Ready after ${durationText(performance.now() - began)}: producer and ${itemsText(settings.workers, 'worker')}.`);
}

const welcome = (url: string, { workers }: Settings, queues: 'redis' | 'postgres'): string[] => [
  '',
  `  Bullpen runs at ${url}`,
  '',
  `  Dashboard    ${url}/`,
  `  Bull Board   ${url}/queues`,
  ...(queues === 'postgres' ? ['  Queues       are kept in PostgreSQL, without Redis'] : []),
  `  REST         ${url}/v1/batches`,
  '',
  '  Submit       ' + curlExample(url),
  '  or           pnpm bullpen submit --handler echo --count 1000 --watch',
  `  More speed   pnpm worker   in another terminal (${itemsText(workers, 'worker')} so far)`,
  '  Stop         Ctrl-C',
  '',
];

const curlExample = (url: string): string =>
  `curl ${url}/v1/batches -H 'content-type: application/json' -d '{"handler": "echo", "count": 1000}'`;
