import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { withLock } from './install-lock.mjs';
import { ROOT } from './root.mjs';

const PNPM = 'pnpm@10.34.9';
/** The project's own packages, and those that only the benchmarks need. */
const OWN = { folder: ROOT, args: [], takes: 'Installing packages (first start, about 20 s)…' };
const PEERS = {
  folder: join(ROOT, 'bench/peers'),
  args: ['--ignore-workspace'],
  takes: 'Installing what the benchmarks compare with (first time, about 20 s)…',
};
const OWN_DATA = join(ROOT, '.data');

/** Installs the packages when what describes them changed since the last time. Resolves with a text for the user when that failed. */
export const install = () => installInto(OWN, fingerprint(membersOf('apps', 'libs')));

/** The same for the benchmarks. */
export const installPeers = () =>
  installInto(PEERS, fingerprint(['bench/peers/pnpm-lock.yaml', 'bench/peers/package.json']));

async function installInto(place, wanted) {
  const stamp = join(place.folder, 'node_modules/.bullpen-installed');
  const isDone = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted;
  if (isDone()) return null;
  try {
    return await withLock(join(OWN_DATA, 'install-lock'), async (alsoHeldBy) => {
      if (isDone()) return null; // by the run that held the lock
      console.error(place.takes);
      const { code, output } = await pnpmInstall(place, alsoHeldBy);
      if (code !== 0) return remedy(output);
      writeFileSync(stamp, wanted);
      return null;
    });
  } catch (error) {
    return `The packages cannot be installed in ${place.folder}: ${error.message}`;
  }
}

/** Of the lockfile and of every manifest in the workspace. */
function membersOf(...folders) {
  const members = folders.flatMap((folder) =>
    existsSync(join(ROOT, folder))
      ? readdirSync(join(ROOT, folder)).map((name) => join(folder, name, 'package.json'))
      : [],
  );
  return ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json', ...members.sort((a, b) => (a < b ? -1 : 1))];
}

/** Of these files; and of the system, since packages with programs differ by it. */
function fingerprint(files) {
  const hash = createHash('sha256').update(`${PNPM} ${process.platform} ${process.arch}\n`);
  for (const file of files) {
    const path = join(ROOT, file);
    if (existsSync(path)) hash.update(`${file}\n`).update(readFileSync(path));
  }
  return hash.digest('hex');
}

function pnpmInstall({ folder, args: more }, alsoHeldBy) {
  const [command, ...first] = npx();
  const args = [...first, '--yes', PNPM, 'install', ...more, '--frozen-lockfile', '--config.confirmModulesPurge=false'];
  // A group of its own: a Ctrl-C is heard by us, who end it, and not by half of npx's family.
  const child = spawn(command, args, {
    cwd: folder,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  if (child.pid !== undefined) alsoHeldBy(child.pid);
  let output = '';
  const collect = (bytes) => {
    output = (output + bytes).slice(-20_000);
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const end = (signal) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
    } catch {
      // It is gone already.
    }
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.on('SIGINT', end).on('SIGTERM', end).on('SIGHUP', end);
  return new Promise((resolve) => {
    const settle = (result) => {
      process.off('SIGINT', end).off('SIGTERM', end).off('SIGHUP', end);
      resolve(result);
    };
    child.once('error', (error) => settle({ code: 1, output: error.message }));
    child.once('close', (code) => settle({ code: code ?? 1, output }));
  });
}

/** The npx that belongs to this Node, run by it: the one on PATH may be another's, whose Node is too old for pnpm. */
function npx() {
  const places = [
    join(dirname(process.execPath), '../lib/node_modules/npm/bin/npx-cli.js'),
    '/usr/share/nodejs/npm/bin/npx-cli.js',
    join(dirname(process.env.npm_execpath ?? '/'), 'npx-cli.js'),
  ];
  const script = places.find((path) => existsSync(path));
  return script ? [process.execPath, script] : ['npx'];
}

function environment() {
  const env = {
    ...process.env,
    // pnpm asks questions unless it believes that nobody could answer. So it is the same everywhere.
    CI: 'true',
    // npm's defaults try for over a minute when there is no network.
    npm_config_fetch_retries: '2',
    npm_config_fetch_retry_mintimeout: '1000',
    npm_config_fetch_retry_maxtimeout: '5000',
  };
  if (isWritable(process.env.HOME)) return env;
  const home = join(OWN_DATA, 'home');
  mkdirSync(home, { recursive: true });
  return { ...env, HOME: home, npm_config_cache: join(OWN_DATA, 'npm-cache') };
}

function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function remedy(output) {
  const last = output.trim().split('\n').filter(Boolean).slice(-15).join('\n');
  const advice = [
    [
      /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|ENETUNREACH|META_FETCH_FAIL/,
      'The npm registry could not be reached. Check the network (behind a proxy: npm config set proxy <url>), then run the same command again.',
    ],
    [/ENOSPC/, 'The disk is full. Make room, then run the same command again.'],
    [/EACCES|EPERM|EROFS/, `Some folder may not be written to. Run as the user who owns ${ROOT}.`],
    [/OUTDATED_LOCKFILE/, `A package.json and pnpm-lock.yaml differ. Run: npx --yes ${PNPM} install`],
  ].find(([pattern]) => pattern.test(output));
  return `${last}\n\nThe packages could not be installed. ${advice ? advice[1] : 'The lines above say why. Run the same command again once that is repaired.'}`;
}
