import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { eventually } from '@bullpen/testkit';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startFleet, type Fleet, type FleetPlan } from '../src/processes/fleet.ts';
import { startReloadingFleet } from '../src/processes/reloading-fleet.ts';
import { dataFolder } from './run-cli.ts';

/** Says who it is, is ready, and drains when asked. */
const good = (facts: string): string => `
  console.log(process.env.WORKER_ID, process.env.NODE_ENV, process.env.WORKERS);
  process.on('SIGTERM', () => process.exit(0));
  setInterval(() => {}, 1000);
  process.send({ type: 'ready', ${facts} });`;

/** A fleet of real processes with the given programs in place of the apps. */
async function fleetOf(
  programs: { producer?: string; worker?: string },
  plan: Partial<FleetPlan> = {},
): Promise<{ fleet: Fleet; log: () => string; said: string[] }> {
  const build = await dataFolder();
  for (const [app, text] of Object.entries(programs)) await writeFile(join(build, `${app}.mjs`), text);
  const [log, said]: [PassThrough, string[]] = [new PassThrough(), []];
  let logged = '';
  log.on('data', (text) => (logged += String(text)));
  const fleet = startFleet({
    producer: programs.producer !== undefined,
    workers: 2,
    drainTimeoutMs: 1000,
    say: (line) => said.push(line),
    log,
    ...plan,
    env: { PATH: process.env['PATH'], BULLPEN_BUILD: build, ...plan.env },
  });
  onTestFinished(() => fleet.stop());
  return { fleet, log: () => logged, said };
}

describe('a fleet', () => {
  test('tells the URL of its producer, and is ready when all of its processes are', async () => {
    const { fleet, log } = await fleetOf({ producer: good(`url: 'http://there'`), worker: good('') });
    expect(await fleet.url).toBe('http://there');
    await fleet.ready;
    await eventually('all have said who they are', () => log().trim().split('\n').length === 3);
    // The producer alone hears of the number of workers.
    expect(log().trim().split('\n').sort()).toEqual([
      'undefined production 2',
      'undefined production undefined',
      'undefined production undefined',
    ]);
  });

  test('gives workers names of their own where WORKER_ID would be that of all', async () => {
    const { fleet, log } = await fleetOf({ worker: good('') }, { env: { WORKER_ID: 'rack', NODE_ENV: 'test' } });
    await fleet.ready;
    await eventually('both have said who they are', () => log().trim().split('\n').length === 2);
    expect(log().trim().split('\n').sort()).toEqual(['rack-1 test undefined', 'rack-2 test undefined']);
  });

  test('gives each worker the next port after WORKER_PORT, and none where that is 0', async () => {
    const worker = good('').replace('console.log(', 'console.log(process.env.WORKER_PORT); console.error(');
    for (const [port, ports] of [
      ['9000', ['9000', '9001']],
      ['0', ['0', '0']],
    ] as const) {
      const { fleet, log } = await fleetOf({ worker }, { env: { WORKER_PORT: port } });
      await fleet.ready;
      await eventually('both have said their port', () => ports.every((each) => log().includes(`${each}\n`)));
      await fleet.stop();
    }
  });

  test('starts a process again when it dies', async () => {
    const { fleet, said } = await fleetOf({ worker: `${good('')} setTimeout(() => process.exit(3), 300);` });
    await fleet.ready;
    await eventually('one was started again', () =>
      said.some((line) => /^worker \d ended \(exit code 3\); starting it again/.test(line)),
    );
  });

  test('gives up when a process never gets ready, so that nobody waits for ever', async () => {
    const { fleet, said } = await fleetOf({ worker: 'process.exit(1)' }, { workers: 1 });
    expect(await fleet.ended).toBe(1);
    expect(said.at(-1)).toBe('worker does not get ready; its log says why.');
  });

  test('ends with 78 when a process refuses its settings, without a second try', async () => {
    const { fleet, said } = await fleetOf({ worker: 'process.exit(78)' }, { workers: 1 });
    expect(await fleet.ended).toBe(78);
    expect(said).toEqual(['worker ended (exit code 78).']);
  });

  test('ends also when a process does not drain in time', async () => {
    const stubborn = good('').replace('process.exit(0)', '0');
    const { fleet } = await fleetOf({ worker: stubborn }, { drainTimeoutMs: 0, workers: 1 });
    await fleet.ready;
    await fleet.stop();
    expect(await fleet.ended).toBe(128 + 9);
  });
});

describe('a fleet that reloads', () => {
  const named = (name: string): string =>
    `${good(`url: 'http://127.0.0.1:' + (process.env.PORT === '0' ? 4567 : process.env.PORT)`)} console.error('${name}', process.env.PORT);`;

  /** Folders of three builds, of which the last does not start. */
  async function builds(worker = named('old')): Promise<[old: string, next: string, broken: string]> {
    const folders = await Promise.all([dataFolder(), dataFolder(), dataFolder()]);
    for (const [at, text] of [worker, named('new'), 'process.exit(78)'].entries()) {
      await writeFile(join(folders[at]!, 'worker.mjs'), text);
      await writeFile(join(folders[at]!, 'producer.mjs'), text);
    }
    return folders;
  }

  function startOn(build: string) {
    const log = new PassThrough();
    let logged = '';
    log.on('data', (text) => (logged += String(text)));
    const env = { PATH: process.env['PATH'], BULLPEN_BUILD: build, PORT: '0' };
    const plan = { env, producer: true, workers: 1, drainTimeoutMs: 1000, say: () => {}, log };
    const fleet = startReloadingFleet(plan);
    onTestFinished(() => fleet.stop());
    const heard = (line: string, times: number) =>
      eventually(`${line}, ${times} times`, () => logged.split('\n').filter((each) => each === line).length === times);
    return { fleet, heard };
  }

  test('exchanges all processes, on the same port, and goes back when the new ones do not start', async () => {
    const [old, next, broken] = await builds();
    const { fleet, heard } = startOn(old);
    await fleet.ready;
    await heard('old 0', 2);
    expect(await fleet.replace(next)).toBe(true);
    await heard('new 4567', 2);
    expect(await fleet.replace(broken)).toBe(false);
    await heard('new 4567', 4);
    await fleet.stop();
    expect(await fleet.ended).toBe(0);
  });

  test('waits for those that still drain when it is stopped in the middle', async () => {
    const folder = await dataFolder();
    const mark = (name: string): string => `fs.writeFileSync(${JSON.stringify(join(folder, name))}, '')`;
    const slow = named('old').replace(
      'process.exit(0)',
      `{ ${mark('draining')}; setTimeout(() => { ${mark('drained')}; process.exit(0); }, 500); }`,
    );
    const [old, next] = await builds(`import fs from 'node:fs'; ${slow}`);
    const { fleet } = startOn(old);
    await fleet.ready;
    const replaced = fleet.replace(next);
    await eventually('it drains', () => stat(join(folder, 'draining')).catch(() => null));
    await fleet.stop();
    await stat(join(folder, 'drained'));
    expect(await replaced).toBe(false);
  });
});
