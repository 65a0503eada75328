import { execFileSync } from 'node:child_process';
import { cp, lstat, mkdir, readdir, realpath, rm, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * What a fresh clone would be after its packages were installed: the files of this checkout, its own workspace packages,
 * and links to the packages of others, so that it takes a fifth of a second instead of twenty.
 */
export async function freshCopy(folder: string): Promise<void> {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root });
  const files = String(listed).split('\0').filter(Boolean);
  for (const file of files) {
    if ((await lstat(join(root, file)).catch(() => null)) === null) continue;
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await cp(join(root, file), join(folder, file));
  }
  const members = files.filter((file) => /^(apps|libs)\/[^/]+\/package\.json$/.test(file)).map(dirname);
  for (const member of ['.', ...members]) await linkPackages(join(root, member), join(folder, member), folder);
  const redis = '.cache/bullpen/redis-dist';
  await mkdir(join(folder, 'node_modules', dirname(redis)), { recursive: true });
  if (await lstat(join(root, 'node_modules', redis)).catch(() => null))
    await symlink(join(root, 'node_modules', redis), join(folder, 'node_modules', redis));
}

async function linkPackages(from: string, to: string, copy: string): Promise<void> {
  const packages = join(from, 'node_modules');
  for (const name of await readdir(packages).catch(() => [])) {
    const scoped = name.startsWith('@') ? await readdir(join(packages, name)) : [''];
    for (const inner of scoped) {
      if (name === '.cache') continue;
      const place = join(name, inner);
      const target = await realpath(join(packages, place));
      const own = relative(root, target);
      const isOurs = /^(apps|libs)\//.test(own);
      await mkdir(dirname(join(to, 'node_modules', place)), { recursive: true });
      await symlink(isOurs ? join(copy, own) : target, join(to, 'node_modules', place));
    }
  }
}

export const remove = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true, maxRetries: 5 });
