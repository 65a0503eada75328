import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const parent = mkdtempSync(join(tmpdir(), 'bullpen-run-'));
/** A fresh clone of a project without packages: these scripts, and a program that says what reached it. */
const clone = join(parent, 'fresh clone');

const PROGRAM = `
const seen: string[] = [];
const note = (signal: string) => {
  seen.push(signal);
  if (seen.length === 1) setTimeout(() => { console.log('saw', seen.join(' ')); process.exit(7); }, 300);
};
process.on('SIGINT', note).on('SIGTERM', note);
console.log(process.argv.slice(2), process.env.FROM_FILE, process.env.IN_BOTH);
// Loads the authorities that Node was started with, and says so of a file that there is not.
if (process.env.NODE_EXTRA_CA_CERTS) (await import('node:tls')).createSecureContext();
if (process.argv[2] === 'start') setInterval(() => {}, 1000);
`;

// To the letter what pnpm writes for a project without packages.
const LOCKFILE = `lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .: {}
`;

beforeAll(() => {
  const isScript = (path: string): boolean => path !== join(root, 'scripts', 'test');
  cpSync(join(root, 'scripts'), join(clone, 'scripts'), { recursive: true, filter: isScript });
  mkdirSync(join(clone, 'libs'));
  for (const app of ['producer', 'worker', 'cli']) {
    mkdirSync(join(clone, `apps/${app}/src`), { recursive: true });
    writeFileSync(join(clone, `apps/${app}/src/main.ts`), PROGRAM);
  }
  for (const file of [
    'worker/src/watchdog/thread.ts',
    'worker/src/isolation/process.ts',
    'producer/src/reduce/thread.ts',
    'worker/src/threads/thread.ts',
  ]) {
    mkdirSync(join(clone, 'apps', dirname(file)));
    writeFileSync(join(clone, 'apps', file), '');
  }
  writeFileSync(join(clone, 'package.json'), '{"type": "module"}');
  writeFileSync(join(clone, 'pnpm-lock.yaml'), LOCKFILE);
  writeFileSync(join(clone, '.env'), 'FROM_FILE=file\nIN_BOTH=file\n');
  // Found from the clone as it would be in its own node_modules.
  mkdirSync(join(parent, 'node_modules'));
  symlinkSync(join(root, 'node_modules/esbuild'), join(parent, 'node_modules/esbuild'));
});
afterAll(() => rmSync(parent, { recursive: true, force: true }));

function begin(command: string[]) {
  const [program = '', ...args] = command;
  const { NODE_EXTRA_CA_CERTS: _, ...inherited } = process.env;
  const child = spawn(program, args, { cwd: parent, env: { ...inherited, IN_BOTH: 'environment', CI: 'true' } });
  const run = { child, out: '', err: '', ended: once(child, 'close') as Promise<[number | null]> };
  child.stdout.on('data', (bytes: Buffer) => (run.out += String(bytes)));
  child.stderr.on('data', (bytes: Buffer) => (run.err += String(bytes)));
  return run;
}

const script = join(clone, 'scripts/run.mjs');
const run = async (...args: string[]) => {
  const started = begin([process.execPath, script, ...args]);
  const [code] = await started.ended;
  return { code, out: started.out, err: started.err };
};
const untilStarted = async ({ child }: ReturnType<typeof begin>) => void (await once(child.stdout, 'data'));

it('installs once when two begin at the same time, and is quiet from then on', async () => {
  const both = await Promise.all([run('bullpen', 'submit', 'a b.csv'), run('bullpen', 'workers')]);
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(both[0].out).toBe("[ 'submit', 'a b.csv' ] file environment\n");
  const told = both.flatMap(({ err }) => err.split('\n')).filter((line) => line.startsWith('Installing'));
  expect(told).toHaveLength(1);
  expect(await run('bullpen', 'keys')).toEqual({ code: 0, out: "[ 'keys' ] file environment\n", err: '' });
});

it('starts Node anew where .env names the file of a CA', async () => {
  const file = join(clone, '.env');
  const before = readFileSync(file);
  writeFileSync(file, 'NODE_EXTRA_CA_CERTS=/nowhere/ca.pem\nFROM_FILE=file\n');
  const { code, out, err } = await run('bullpen', 'doctor');
  writeFileSync(file, before);
  expect({ code, out }).toEqual({ code: 0, out: "[ 'doctor' ] file environment\n" });
  expect(err).toMatch(/^Warning: Ignoring extra certs from `\/nowhere\/ca.pem`/);
});

it.each(['SIGTERM', 'SIGINT'] as const)('hands on one %s and ends with the exit code', async (signal) => {
  const started = begin([process.execPath, script, 'start']);
  await untilStarted(started);
  started.child.kill(signal);
  expect(await started.ended).toEqual([7, null]);
  expect(started.out).toContain(`saw ${signal}\n`);
});

it('ends when the npm that started it is told to end', async () => {
  // npm passes a SIGTERM to the shell between, which ends without passing it on.
  const started = begin(['sh', '-c', `npm_lifecycle_event=start '${process.execPath}' '${script}' start; true`]);
  await untilStarted(started);
  started.child.kill('SIGTERM');
  await started.ended;
  expect(started.out).toContain('saw SIGTERM\n');
});

it.runIf(process.platform === 'linux')('lets a Ctrl-C on the terminal arrive once', async () => {
  // util-linux's script gives it a terminal; the byte 3 is what the key sends. Some shells would answer 130 themselves.
  const started = begin(['script', '-qec', `exec '${process.execPath}' '${script}' start`, '/dev/null']);
  await untilStarted(started);
  started.child.stdin.write('\x03');
  expect(await started.ended).toEqual([7, null]);
  expect(started.out).toMatch(/saw SIGINT\r\n/);
});

it('says what failed and what to do when the packages cannot be installed', async () => {
  writeFileSync(join(clone, 'package.json'), '{"type": "module", "dependencies": {"zod": "4.6.7"}}');
  const { code, err } = await run('start');
  expect(code).toBe(69);
  expect(err).toMatch(/OUTDATED_LOCKFILE[^]*A package.json and pnpm-lock.yaml differ\. Run: npx --yes pnpm@/);
});

it('lists its commands', async () => {
  expect(await run('--help')).toMatchObject({ code: 0, out: expect.stringContaining('  demo ') });
  expect(await run('strat')).toMatchObject({ code: 64, err: 'There is no command "strat".\n\n' });
});

it.each([
  ['18.20.8', 78],
  ['20.18.9', 78],
  ['20.19.0', 0],
  ['21.7.3', 78],
  ['22.11.0', 78],
  ['22.12.0', 0],
  ['23.11.1', 78],
  ['24.0.0', 0],
  ['26.1.0', 0],
])('judges Node %s', (version, code) => {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`;
  const ended = spawnSync(process.execPath, [
    '--import',
    `data:text/javascript,${encodeURIComponent(pretend)}`,
    script,
    '--help',
  ]);
  expect(ended.status).toBe(code);
  if (code === 78) expect(String(ended.stderr)).toMatch(/^Bullpen needs Node 20\.19\+.*\n$/);
});
