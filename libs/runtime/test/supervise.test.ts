import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { processStart } from '../src/services/process-start.ts';
import { supervise, type Supervised, type SuperviseOptions } from '../src/supervise.ts';
import { eventually } from './support/eventually.ts';

const entry = fileURLToPath(new URL('support/supervised.ts', import.meta.url));
let said: string[] = [];
let started: Supervised[] = [];

function start(what: string, options: Partial<SuperviseOptions> = {}): Supervised {
  const args = ['--import', 'tsx', entry, what];
  const one = supervise({
    name: 'worker 1',
    args,
    env: process.env,
    say: (line) => said.push(line),
    drainTimeoutMs: 5_000,
    ...options,
  });
  started.push(one);
  return one;
}

afterEach(async () => {
  await Promise.all(started.map((one) => one.stop()));
  [said, started] = [[], []];
});

it('starts a killed child again, says so, and stops it', async () => {
  const pids: unknown[] = [];
  const worker = start('serves', { onReady: ({ pid }) => pids.push(pid) });
  await worker.ready;
  expect(pids).toEqual([worker.pid()]);
  process.kill(worker.pid()!, 'SIGKILL');
  await eventually(() => pids.length === 2);
  expect(worker.pid()).toBe(pids[1]);
  expect(said).toEqual(['worker 1 ended (SIGKILL); starting it again in 200 ms.']);
  await worker.stop();
  expect(await worker.ended).toBe(5);
  expect(worker.pid()).toBeUndefined();
  expect(processStart(pids[1] as number)).toBeNull();
});

it('waits longer each time, and a stop ends the waiting', async () => {
  const worker = start('fails');
  await eventually(() => said.length === 2);
  await worker.stop();
  expect(said).toEqual([
    'worker 1 ended (exit code 3); starting it again in 200 ms.',
    'worker 1 ended (exit code 3); starting it again in 400 ms.',
  ]);
  expect(await worker.ended).toBe(3);
  await expect(worker.ready).rejects.toThrow('before it was ready');
});

it('gives up a child that was never ready', async () => {
  const worker = start('fails');
  expect(await worker.ended).toBe(3);
  expect(said.slice(4)).toEqual(['worker 1 ended (exit code 3).', 'worker 1 does not get ready; its log says why.']);
});

it('leaves a child with a bad configuration alone', async () => {
  const worker = start('misconfigured');
  expect(await worker.ended).toBe(78);
  expect(said).toEqual(['worker 1 ended (exit code 78).']);
});

it('does not start again what shall run once', async () => {
  expect(await start('fails', { restart: false }).ended).toBe(3);
});

it('kills a child that does not drain in time', async () => {
  const worker = start('stubborn', { drainTimeoutMs: -4_500 });
  await worker.ready;
  await worker.stop();
  expect(await worker.ended).toBe(137);
});

it('takes its children along when it is killed itself', async () => {
  const supervisor = fork(new URL('support/supervisor.ts', import.meta.url), [entry], {
    execArgv: ['--import', 'tsx'],
  });
  const [pid] = (await once(supervisor, 'message')) as [number];
  supervisor.kill('SIGKILL');
  await eventually(() => processStart(pid) === null);
});
