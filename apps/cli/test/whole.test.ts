import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { eventually } from '@bullpen/testkit';
import { describe, expect, test } from 'vitest';
import { dataFolder, runCli, startCli } from './run-cli.ts';

/** Embedded servers in a folder of their own: the way of a fresh clone. */
describe('the whole service', { timeout: 120_000 }, () => {
  test.each([
    ['', {}],
    [' without a Redis', { QUEUE_BACKEND: 'postgres' }],
  ])('a demo%s runs a batch, tells what happened and leaves nothing behind', async (_, more) => {
    const DATA_DIR = await dataFolder();
    const env = { DATA_DIR, ...more };
    const { code, stdout, stderr } = await runCli(['demo', '--items', '2000', '--workers', '2'], { env });
    expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^ {2}items +2,000\n {2}succeeded +2,000\n {2}failed +0\n {2}seconds +\d/m);
    expect(stdout).toMatch(/^ {2}2 workers +items +share$/m);
    expect(stdout).toMatch(/^ {2}hash +[0-9a-f]{16} of the summary, with seed 1$/m);
    expect(stdout).toMatch(/^ {2}Owls +best-points-per-hour +█+░+ +\d\d\.\d% /m);
    expect(stdout).toContain('"index":0');
    expect(stdout).toContain('npm start');
    expect(await processesWith(DATA_DIR)).toEqual([]);
  });

  test('a start serves, is found by the other commands, takes workers that join, and drains on Ctrl-C', async () => {
    const env = { DATA_DIR: await dataFolder(), PORT: String(await freePort()), WORKERS: '1' };
    const start = startCli(['start'], env);
    const ended = start.ended.then(({ code, stderr }) => {
      throw new Error(`it ended with ${code} before it was ready: ${stderr}${start.stdout()}`);
    });
    ended.catch(() => {});
    await Promise.race([eventually('it is ready', () => start.stdout().includes('Ready after'), 60_000), ended]);
    expect(start.stdout()).toContain(`http://127.0.0.1:${env.PORT}/queues`);

    const second = await runCli(['start'], { env });
    expect(second).toMatchObject({
      code: 78,
      stderr: expect.stringContaining(`Bullpen already runs on ${env.DATA_DIR}`),
    });

    const joined = startCli(['worker'], env);
    await eventually('a second worker is there', async () => {
      const { stdout } = await runCli(['workers', '--json'], { env });
      return stdout !== '' && JSON.parse(stdout).items.length === 2;
    });
    joined.child.kill('SIGTERM');
    expect(await joined.ended).toMatchObject({ code: 0, stdout: expect.stringContaining('Joined the Bullpen') });

    const submitted = await runCli(['submit', '--handler', 'echo', '--count', '500', '--watch', '--json'], { env });
    expect(JSON.parse(submitted.stdout)).toMatchObject({ state: 'completed', counts: { succeeded: 500 } });

    const demo = await runCli(['demo', '--items', '100', '--json'], { env });
    expect(JSON.parse(demo.stdout)).toMatchObject({ batch: { counts: { succeeded: 100 } } });
    expect(await runCli(['demo', '--workers', '2'], { env })).toMatchObject({ code: 2 });

    start.child.kill('SIGINT');
    const { code, stdout, stderr } = await start.ended;
    expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/Stopped\.\n$/);
    expect(await processesWith(env.DATA_DIR)).toEqual([]);
  });
});

describe('a start that cannot be', () => {
  test('names a port that is taken and the way out, on one line', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await eventually('it listens', () => server.listening);
    const { port } = server.address() as AddressInfo;
    const env = { DATA_DIR: await dataFolder(), PORT: String(port) };
    const { code, stdout, stderr } = await runCli(['start'], { env });
    server.close();
    expect({ code, stdout, stderr }).toEqual({
      code: 78,
      stdout: '',
      stderr: `Port ${port} is taken: set PORT, e.g. PORT=${port + 1} npm start\n`,
    });
  });

  test('names a taken port of a worker, and one past the last, before anything is started', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await eventually('it listens', () => server.listening);
    const { port } = server.address() as AddressInfo;
    const env = { DATA_DIR: await dataFolder(), WORKER_PORT: String(port) };
    const taken = await runCli(['worker', '--scale', '2'], { env });
    server.close();
    expect(taken).toEqual({
      code: 78,
      stdout: '',
      stderr: `Port ${port} is taken (EADDRINUSE): set WORKER_PORT, e.g. WORKER_PORT=${port + 2} npm run worker\n`,
    });
    const beyond = await runCli(['worker', '--scale', '3'], { env: { ...env, WORKER_PORT: '65534' } });
    expect(beyond).toMatchObject({
      code: 78,
      stderr: expect.stringContaining('65534 to 65536, and 65535 is the last'),
    });
  });

  test('ends with 78 when a process says that the settings are wrong, and leaves nothing behind', async () => {
    const env = { DATA_DIR: await dataFolder(), PORT: String(await freePort()), HANDLERS: '/nonexistent' };
    const { code } = await runCli(['start'], { env });
    expect(code).toBe(78);
    expect(await processesWith(env.DATA_DIR)).toEqual([]);
  }, 60_000);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await eventually('it listens', () => server.listening);
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Command lines of the processes that run on this data folder: servers name it in an argument, ours in their environment. */
async function processesWith(dataDir: string): Promise<string[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  return pids
    .filter((pid) => `${read(pid, 'cmdline')}${read(pid, 'environ')}`.includes(dataDir))
    .map((pid) => read(pid, 'cmdline'));
}

function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
