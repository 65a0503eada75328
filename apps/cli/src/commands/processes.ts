import type { Command } from 'commander';
import { readSettings, type Settings } from '@bullpen/runtime';
import type { Context } from '../context.ts';
import { printLines } from '../context.ts';
import { wholeNumber } from '../options.ts';
import { itemsText } from '../text/numbers.ts';
import { requireFreePort, requireFreeWorkerPorts } from '../processes/port.ts';
import { runFleet, untilAborted, type Up } from '../processes/run-fleet.ts';

const servers =
  'It uses the servers of DATABASE_URL and REDIS_URL, else those of the Bullpen that runs on DATA_DIR;\n' +
  'where none runs, it starts them itself and they stay until it ends.';

const workerHelp = `
Workers share the partitions by themselves. To pin one, start it alone, with WORKER_PARTITIONS, or with its WORKER_INDEX
of WORKER_COUNT; then --scale must be 1. While it is away its partitions wait for it for three leases.

Examples:
  pnpm worker
  pnpm worker --scale 4
  WORKER_INDEX=0 WORKER_COUNT=3 pnpm worker
  WORKER_PARTITIONS=0-3,7 pnpm worker`;

/** One kind of process, for several terminals or machines. */
export function addProcesses(program: Command, context: Context): void {
  program
    .command('producer')
    .summary('only a producer: REST, dashboard, Bull Board')
    .description(`Runs a producer until Ctrl-C. ${servers}`)
    .addHelpText('after', '\nExamples:\n  pnpm producer\n  PORT=3001 pnpm producer')
    .action(async () => {
      const settings = readSettings(context.env);
      await requireFreePort(settings, 'pnpm producer');
      context.setExitCode(await run(context, settings, { producer: true, workers: 0 }));
    });

  program
    .command('worker')
    .summary('only workers: more of them make it faster')
    .description(
      `Runs workers until Ctrl-C. ${servers}\nWith WORKER_PORT=9000 the first answers /livez and /readyz on port 9000, the second on 9001, and so on.`,
    )
    .option('--scale <n>', 'how many workers', wholeNumber(1, 64), 1)
    .addHelpText('after', workerHelp)
    .action(async ({ scale }: { scale: number }) => {
      const settings = readSettings(context.env);
      await requireFreeWorkerPorts({ ...settings, workers: scale }, 'pnpm worker');
      context.setExitCode(await run(context, settings, { producer: false, workers: scale }));
    });
}

async function run(
  context: Context,
  settings: Settings,
  what: { producer: boolean; workers: number },
): Promise<number> {
  const say = (line: string): void => printLines(context.stdout, [line]);
  const plan = { settings, env: context.env, mode: 'join-or-own', say, log: null, codeWhenStopped: () => 0 } as const;
  const code = await runFleet({ ...plan, ...what }, async (up) => {
    say(serversText(up, settings));
    await (what.producer ? tellUrl(up, say) : tellWorkers(up, what.workers, say));
    await untilAborted(up.signal);
    return 0;
  });
  if (code === 0) say('Stopped.');
  return code;
}

function serversText({ services }: Up, { dataDir }: Settings): string {
  if (services.joined) return `Joined the Bullpen that runs on ${dataDir}.`;
  const own = [services.embedded.postgres ? 'PostgreSQL' : '', services.embedded.redis ? 'Redis' : ''].filter(Boolean);
  return own.length === 0
    ? `Uses the ${services.queueBackend === 'redis' ? 'servers of DATABASE_URL and REDIS_URL' : 'server of DATABASE_URL, with the queues in it'}.`
    : `The first one on ${dataDir}: ${own.join(' and ')} ${own.length === 1 ? 'runs here and stops' : 'run here and stop'} with this process.`;
}

async function tellUrl({ fleet, services }: Up, say: (line: string) => void): Promise<void> {
  const url = await fleet.url;
  await services.announce({ url });
  say(`The producer answers at ${url}`);
}

async function tellWorkers({ fleet }: Up, workers: number, say: (line: string) => void): Promise<void> {
  await fleet.ready;
  say(`${itemsText(workers, 'worker')} ready. Ctrl-C stops ${workers === 1 ? 'it' : 'them'}.`);
}
