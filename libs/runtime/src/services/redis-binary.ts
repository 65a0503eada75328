import { access, constants, readdir, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from './command.ts';
import { ServiceError } from './error.ts';
import { canUseApt, fetchRedisFromApt } from './redis-apt.ts';

export interface RedisBinary {
  command: string;
  env: NodeJS.ProcessEnv;
}

/** BullMQ's minimum. */
const MAJOR_MIN = 5;

/** A valkey-server or redis-server that runs here: on PATH, fetched earlier, or fetched now into `folder`. */
export async function redisBinary(folder: string, say: (line: string) => void): Promise<RedisBinary> {
  const installed = await onPath(['valkey-server', 'redis-server']);
  if (installed) return installed;
  const fetched = await inFolder(folder);
  if (fetched) return fetched;
  const problem = await fetchNow(folder, say);
  const fresh = problem === null ? await inFolder(folder) : null;
  if (fresh) return fresh;
  const why = problem ?? 'the fetched redis-server does not run here';
  throw new ServiceError('redis-missing', howToGetRedis(why), { cause: why });
}

async function onPath(names: string[]): Promise<RedisBinary | null> {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  for (const name of names) {
    for (const folder of folders) {
      const found = { command: join(folder, name), env: process.env };
      if (await runs(found)) return found;
    }
  }
  return null;
}

/** One for all data folders of this checkout, next to its packages; where that may not be written to, in the data folder. */
export async function fetchedFolder(dataDir: string): Promise<string> {
  const packages = fileURLToPath(new URL('../../../../node_modules', import.meta.url));
  const writable = await access(packages, constants.W_OK).then(
    () => true,
    () => false,
  );
  return writable ? join(packages, '.cache/bullpen/redis-dist') : join(dataDir, 'redis-dist');
}

/** What was fetched stops running when the system is upgraded under it, so it is tried at each start (10 ms) and not believed. */
async function inFolder(folder: string): Promise<RedisBinary | null> {
  const libraries = await libraryFolders(folder);
  const found = {
    command: join(folder, 'usr/bin/redis-server'),
    env: { ...process.env, LD_LIBRARY_PATH: libraries.join(':') },
  };
  return (await runs(found)) ? found : null;
}

/** usr/lib/x86_64-linux-gnu and the like. */
async function libraryFolders(folder: string): Promise<string[]> {
  const parents = [join(folder, 'usr/lib'), join(folder, 'lib')];
  const found = await Promise.all(
    parents.map(async (parent) => {
      const names = await readdir(parent).catch(() => []);
      return names.filter((name) => name.includes('-linux-gnu')).map((name) => join(parent, name));
    }),
  );
  return found.flat();
}

async function runs({ command, env }: RedisBinary): Promise<boolean> {
  if (
    !(await access(command, constants.X_OK).then(
      () => true,
      () => false,
    ))
  )
    return false;
  const { code, output } = await runCommand([command, '--version'], { env });
  return code === 0 && Number(/\bv=(\d+)\./.exec(output)?.[1] ?? 0) >= MAJOR_MIN;
}

async function fetchNow(folder: string, say: (line: string) => void): Promise<string | null> {
  if (!(await canUseApt())) return 'it is not on PATH';
  say('Fetching redis-server from apt (1.4 MB, once; nothing is installed)…');
  // Whatever is there does not run.
  await rm(folder, { recursive: true, force: true });
  return fetchRedisFromApt(folder);
}

const howToGetRedis = (why: string): string =>
  [
    `There is no Redis: ${why}. Install one, then start again:`,
    '  Debian, Ubuntu  sudo apt-get install redis-server',
    '  Fedora, RHEL    sudo dnf install valkey',
    '  macOS           brew install redis',
    '  Alpine          sudo apk add redis',
    'or set REDIS_URL to one that runs elsewhere (redis://user:password@host:6379); or do without: QUEUE_BACKEND=postgres.',
  ].join('\n');
