import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { lastLines, runCommand } from './command.ts';
import { ServiceError } from './error.ts';
import { canReach, deathSignalPrefix, hasDeathSignal, type RunAs } from './launch.ts';
import type { PostgresBinaries } from './postgres-package.ts';
import { commandLine } from './process-start.ts';
import { sharedFolder } from './shared-folder.ts';

export const POSTGRES_USER = 'bullpen';
/** No PG… variable and no LD_LIBRARY_PATH of the user's may change how it behaves. */
export const POSTGRES_ENV = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };

export interface PostgresData {
  path: string;
  password: string;
}

/** The data folder of PostgreSQL: found, or made at the first start. */
export async function postgresData(
  dataDir: string,
  binaries: PostgresBinaries,
  user: RunAs,
  say: (line: string) => void,
): Promise<PostgresData> {
  const path = await placeFor(dataDir, user);
  const major = await readFile(join(path, 'PG_VERSION'), 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
  if (major === null) {
    say(`Setting up PostgreSQL ${binaries.version} in ${dataDir} (first start)…`);
    await initialise(path, binaries, user);
  } else {
    refuseOtherMajor(path, major, binaries);
    await fixOwner(path, user);
  }
  return { path, password: (await readFile(join(path, 'bullpen.password'), 'utf8')).trim() };
}

/** `<dataDir>/postgres`; where the server's user cannot get to it, a folder in /var/tmp that a link of this name points to. */
async function placeFor(dataDir: string, user: RunAs): Promise<string> {
  const path = join(dataDir, 'postgres');
  const found = await lstat(path).catch(() => null);
  if (found?.isSymbolicLink()) return readlink(path);
  // Really nobody, not root by another name: may pass through, may not look around. The files with passwords are 0600.
  if (user.ids.uid !== undefined) await chmod(dataDir, 0o711);
  if (await canReach(user, dataDir)) return path;
  if (found) {
    throw new ServiceError(
      'data-dir',
      `PostgreSQL must not run as root, and no other user gets to ${dataDir}.\nMove that folder to a place everybody may enter (/var/lib/bullpen) and set DATA_DIR to it.`,
    );
  }
  const shared = join(await sharedFolder('data', dataDir), 'postgres');
  await symlink(shared, path);
  return shared;
}

/** In a folder of its own that gets its name when all is done: an interrupted first start leaves nothing that looks finished. */
async function initialise(path: string, binaries: PostgresBinaries, user: RunAs): Promise<void> {
  await removeUnfinished(path);
  const fresh = `${path}.tmp-${randomBytes(4).toString('hex')}`;
  const passwordFile = `${fresh}.password`;
  const password = randomBytes(24).toString('base64url');
  await mkdir(fresh, { mode: 0o700 });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (user.fileOwner)
    for (const file of [fresh, passwordFile]) await chown(file, user.fileOwner.uid, user.fileOwner.gid);

  // The builtin C.UTF-8 sorts by code point, the same on every system, and needs no locale of the system.
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  await runPostgres(user, binaries.initdb, [
    '-D',
    fresh,
    '-U',
    POSTGRES_USER,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    ...locale,
  ]);
  // Single-user mode needs no client, no port and no password.
  await runPostgres(
    user,
    binaries.postgres,
    ['--single', '-D', fresh, 'postgres'],
    `create database ${POSTGRES_USER};\n`,
  );

  await rename(passwordFile, join(fresh, 'bullpen.password'));
  await rename(fresh, path);
}

/** Left by a first start that was killed. The names differ each time, so its initdb, should it still write for a moment, spoils nothing here. */
async function removeUnfinished(path: string): Promise<void> {
  const names = await readdir(dirname(path));
  const unfinished = names.filter((name) => name.startsWith('postgres.tmp-'));
  await Promise.all(
    unfinished.map((name) =>
      rm(join(dirname(path), name), { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }),
    ),
  );
}

async function runPostgres(user: RunAs, program: string, args: string[], input = ''): Promise<void> {
  const tie = (await hasDeathSignal()) ? deathSignalPrefix('KILL') : [];
  const { code, output } = await runCommand([...user.prefix, ...tie, program, ...args], {
    input,
    env: POSTGRES_ENV,
    ids: user.ids,
  });
  // Single-user mode exits 0 after a failed statement, so the word counts too.
  if (code === 0 && !/\b(ERROR|FATAL|PANIC):/.test(output)) return;
  throw new ServiceError(
    'postgres-start',
    `PostgreSQL could not be set up: ${lastLines(output, 3)}\nSet DATABASE_URL to use another PostgreSQL (docker compose up -d postgres).`,
  );
}

function refuseOtherMajor(path: string, major: string, binaries: PostgresBinaries): void {
  if (major === binaries.major) return;
  throw new ServiceError(
    'postgres-version',
    `${path} was written by PostgreSQL ${major}; this Bullpen brings ${binaries.major}. Go back to the Bullpen that wrote it and dump it with pg_dump,\n` +
      'or start with an empty folder: set DATA_DIR to another one.',
  );
}

/** A folder made in a user namespace belongs to root, one made as nobody to nobody; which of them works can change with the kernel's settings. */
async function fixOwner(path: string, user: RunAs): Promise<void> {
  const { uid } = await stat(path);
  const wanted = user.fileOwner?.uid ?? process.getuid?.();
  if (uid === wanted) return;
  if (!user.fileOwner)
    throw new ServiceError(
      'data-dir',
      `${path} belongs to user ${uid}. Start Bullpen as that user, or set DATA_DIR to another folder.`,
    );
  await runCommand(['chown', '-R', `${user.fileOwner.uid}:${user.fileOwner.gid}`, path]);
}

/**
 * PostgreSQL refuses to start while the pid in postmaster.pid is alive, whoever has it now; after a reboot or in a new
 * container that is often someone else. When it is no postgres the file goes; its own shared memory check still protects the data.
 */
export async function removeForeignPid(path: string): Promise<void> {
  const file = join(path, 'postmaster.pid');
  const text = await readFile(file, 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  const command = pid > 0 ? commandLine(pid) : '';
  if (command !== '' && !command.includes('postgres')) await rm(file, { force: true });
}
