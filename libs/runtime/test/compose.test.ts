import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { settingTable } from '@bullpen/runtime';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { TUNING } from '../src/services/postgres.ts';

interface Service {
  environment?: Record<string, string | number>;
  command?: string | string[];
  ports?: string[];
  healthcheck?: object;
  stop_grace_period?: string;
  container_name?: string;
}

const read = (file: string): { services: Record<string, Service>; text: string } => {
  const text = readFileSync(resolve(file), 'utf8');
  return { ...(parse(text, { merge: true }) as { services: Record<string, Service> }), text };
};
const files = { all: 'docker-compose.yml', server: 'docker-compose.server.yml', worker: 'docker-compose.worker.yml' };
const [all, server, worker] = [read(files.all), read(files.server), read(files.worker)];

/** Settings that a file gives itself, or that mean nothing in a container. */
const apart: Record<string, string> = {
  DATABASE_URL: 'made of the password and the name of the service, or required',
  REDIS_URL: 'the same',
  HOST: 'in a container who gets in is decided by the published port',
  DATA_DIR: 'no embedded servers',
  WORKER_ID: 'all replicas would bear one name; unset, each is named by its container',
  WORKER_PORT: 'only the healthcheck asks there',
  WORKER_INDEX: 'replicas need no index',
  WORKER_COUNT: 'the same',
  WORKER_PARTITIONS: 'the same',
  BULLPEN_URL: 'the CLI runs beside the producer',
};

/** One worker of its own machine may have a name and pins. */
const ofOneWorker = ['WORKER_ID', 'WORKER_INDEX', 'WORKER_COUNT', 'WORKER_PARTITIONS'];

it('lets the worker of another machine have a name, pins and a port of its own', () => {
  const { environment } = worker.services['worker']!;
  for (const name of ofOneWorker) expect(environment).toMatchObject({ [name]: `\${${name}:-}` });
  expect(environment).toMatchObject({ WORKER_PORT: '${WORKER_PORT:-9000}' });
});

describe.each([
  [files.all, all, ['producer', 'worker']],
  [files.server, server, ['producer']],
  [files.worker, worker, ['worker']],
] as const)('%s', (_, { services, text }, apps) => {
  it.each(apps)('gives %s every setting, with its default', (app) => {
    const expected = Object.entries(settingTable)
      .filter(([name]) => !(name in apart))
      .map(([name, { shown }]) => [name, `\${${name}:-${shown}}`]);
    expect(services[app]!.environment).toMatchObject(Object.fromEntries(expected));
  });

  it('has a healthcheck for every service, and no name that would forbid a second container', () => {
    for (const service of Object.values(services)) {
      expect(service.healthcheck).toBeDefined();
      expect(service.container_name).toBeUndefined();
    }
  });

  it('waits longer for a drain than the drain may take', () => {
    for (const app of apps) {
      const graceMs = 1000 * Number(/:-(\d+)s}$/.exec(services[app]!.stop_grace_period!)![1]);
      expect(graceMs).toBeGreaterThan(Number(settingTable.DRAIN_TIMEOUT_MS.shown));
    }
  });

  it('has no default for a password or an address of a server', () => {
    const names = text.match(/\$\{\w*(?:PASSWORD|BIND|_URL)\w*[^}]*\}/g) ?? [];
    expect(names.length).toBeGreaterThan(1);
    for (const name of names) expect(name).toMatch(/^\$\{\w+:\?/);
  });
});

it.each([all, server])('runs PostgreSQL with the values of the embedded server, and Redis without eviction', (file) => {
  const given = [...String(file.services['postgres']!.command).matchAll(/-c (\w+)=(\S+)/g)].map(([, name, value]) => [
    name,
    value,
  ]);
  expect(Object.fromEntries(given)).toEqual(TUNING);
  expect(String(file.services['redis']!.command)).toMatch(/--appendonly yes .*--maxmemory-policy noeviction/);
});

it('publishes servers only in the file for several machines, and there only on the address that is given', () => {
  expect(all.services['postgres']!.ports ?? all.services['redis']!.ports).toBeUndefined();
  expect(all.services['producer']!.ports).toEqual(['127.0.0.1:${PORT:-3000}:${PORT:-3000}']);
  for (const name of ['postgres', 'redis'])
    for (const port of server.services[name]!.ports!) expect(port).toMatch(/^\$\{BIND:\?[^}]+\}:\d+:\d+$/);
});
