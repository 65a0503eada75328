import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { lastLines, runCommand } from './command.ts';

export const canUseApt = async (): Promise<boolean> =>
  process.platform === 'linux' &&
  (await Promise.all([runCommand(['apt-get', '--version']), runCommand(['dpkg-deb', '--version'])])).every(
    ({ code }) => code === 0,
  );

/**
 * Fetches Debian's or Ubuntu's redis-server and those of its libraries that the system lacks (1.4 MB), and unpacks them into `folder`. Needs no root: nothing
 * is installed, apt works on lists and archives of its own. Resolves with null, or with why it did not work. `folder` appears in one step.
 */
export async function fetchRedisFromApt(folder: string): Promise<string | null> {
  await mkdir(dirname(folder), { recursive: true });
  const work = await mkdtemp(`${folder}.tmp-`);
  try {
    const problem = await download(work);
    if (problem !== null) return problem;
    const tree = join(work, 'tree');
    for (const archive of await archives(work)) {
      const { code, output } = await runCommand(['dpkg-deb', '-x', archive, tree]);
      if (code !== 0) return lastLines(output, 2);
    }
    // Another start may have been faster; its tree is as good.
    await rename(tree, folder).catch(() => {});
    return null;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** With the system's package lists, 1.3 s; where they are missing or too old (container images have none), with lists of its own, 3.4 s. */
async function download(work: string): Promise<string | null> {
  for (const folder of ['cache/archives/partial', 'state/lists/partial'])
    await mkdir(join(work, folder), { recursive: true });
  const own = ['-o', `Dir::Cache=${join(work, 'cache')}`, '-o', 'Debug::NoLocking=1', '-o', 'APT::Sandbox::User=root'];
  const ownLists = [...own, '-o', `Dir::State=${join(work, 'state')}`, '-o', 'Dir::State::status=/var/lib/dpkg/status'];
  // redis-server is a link to a program in redis-tools; --reinstall fetches that one too when the system has it already.
  const get = [
    '-qq',
    '-y',
    '--no-install-recommends',
    '--reinstall',
    '--download-only',
    'install',
    'redis-server',
    'redis-tools',
  ];
  if ((await apt([...own, ...get])).code === 0 && (await archives(work)).length > 0) return null;
  const updated = await apt([...ownLists, '-qq', '-o', 'Acquire::Languages=none', 'update']);
  const { code, output } = await apt([...ownLists, ...get]);
  if (code === 0 && (await archives(work)).length > 0) return null;
  // Without a network the update only warns and exits 0; its words are the cause then.
  return lastLines(updated.output, 2) || lastLines(output, 1) || 'apt-get found no redis-server';
}

const apt = (args: string[]) =>
  runCommand(
    [
      'apt-get',
      '-o',
      'Acquire::Retries=1',
      '-o',
      'Acquire::http::Timeout=10',
      '-o',
      'Acquire::https::Timeout=10',
      ...args,
    ],
    { env: { ...process.env, LC_ALL: 'C' } },
  );

const archives = async (work: string): Promise<string[]> => {
  const folder = join(work, 'cache/archives');
  return (await readdir(folder)).filter((name) => name.endsWith('.deb')).map((name) => join(folder, name));
};
