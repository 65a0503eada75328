import { spawn, type ChildProcess } from 'node:child_process';
import { runCommand } from './command.ts';

/** Whom PostgreSQL runs as: it refuses root. */
export interface RunAs {
  /** Command and arguments to put before the program. */
  prefix: string[];
  ids: { uid?: number; gid?: number };
  /** The owner, as seen from outside, that its files must have; null for an ordinary user, who owns them anyway. */
  fileOwner: { uid: number; gid: number } | null;
}

const NOBODY = 65534;
const USER_NAMESPACE = ['unshare', '--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`, '--'];

/** As root: a user namespace in which we are called nobody (our files stay ours), or, where those are refused, really nobody. */
export async function notRoot(): Promise<RunAs> {
  if (process.getuid?.() !== 0) return { prefix: [], ids: {}, fileOwner: null };
  const allowed = process.platform === 'linux' && (await runCommand([...USER_NAMESPACE, 'true'])).code === 0;
  return allowed
    ? { prefix: USER_NAMESPACE, ids: {}, fileOwner: { uid: 0, gid: 0 } }
    : { prefix: [], ids: { uid: NOBODY, gid: NOBODY }, fileOwner: { uid: NOBODY, gid: NOBODY } };
}

/** Whether that user gets to this path: a user namespace too loses root's right to pass other people's closed folders. */
export async function canReach(user: RunAs, path: string): Promise<boolean> {
  if (user.fileOwner === null) return true;
  return (await runCommand([...user.prefix, 'test', '-x', path], { ids: user.ids })).code === 0;
}

let pdeathsig: Promise<boolean> | undefined;

/** Whether setpriv can tie a child to our life: util-linux can, busybox and macOS cannot. */
export const hasDeathSignal = (): Promise<boolean> =>
  (pdeathsig ??=
    process.platform === 'linux'
      ? runCommand(['setpriv', '--pdeathsig', 'KILL', '--', 'true']).then(({ code }) => code === 0)
      : Promise.resolve(false));

/**
 * The words that make the kernel send `signal` to the program when we die. They come after `unshare`, which clears the setting.
 * The shell closes the gap before it takes effect: when we died within those milliseconds, its parent is no longer us.
 */
export const deathSignalPrefix = (signal: 'INT' | 'TERM' | 'KILL'): string[] => [
  'setpriv',
  '--pdeathsig',
  signal,
  '--',
  'sh',
  '-c',
  '[ "$PPID" = "$0" ] && exec "$@"',
  String(process.pid),
];

export interface ServerCommand {
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  /** File descriptor for stdout and stderr. */
  log: number;
  runAs: RunAs;
  /** Sent when this process dies, even by SIGKILL. */
  onOwnerDeath: 'INT' | 'TERM';
}

/** Starts a server in a session of its own, so that the terminal's Ctrl-C reaches us only and we can drain before we stop it. */
export function spawnServer(server: ServerCommand, deathSignal: boolean): ChildProcess {
  const tie = deathSignal ? deathSignalPrefix(server.onOwnerDeath) : [];
  const [command = '', ...args] = [...server.runAs.prefix, ...tie, server.command, ...server.args];
  const child = spawn(command, args, {
    detached: true,
    cwd: '/',
    env: server.env,
    stdio: ['ignore', server.log, server.log],
    ...server.runAs.ids,
  });
  if (!deathSignal && child.pid !== undefined) guard(child, child.pid, server.onOwnerDeath);
  return child;
}

/** Where the kernel has no death signal: a shell that waits on a pipe only we hold open; when it closes, we are gone. */
function guard(child: ChildProcess, pid: number, signal: string): void {
  const shell = spawn('sh', ['-c', 'read -r line; kill -s "$1" "$0"', String(pid), signal], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  shell.on('error', () => {});
  shell.stdin.on('error', () => {});
  child.once('exit', () => shell.kill('SIGKILL'));
}
