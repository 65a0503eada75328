import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { openServices, readRunFile, ServiceError, type ServiceOptions, type Services } from '../src/services/index.ts';
import { takeLock } from '../src/services/lock.ts';
import { postgresAnswers, redisAnswers } from '../src/services/probe.ts';
import { eventually } from './support/eventually.ts';
import * as servers from './support/servers.ts';

const onLinux = process.platform === 'linux';
const asRoot = process.getuid?.() === 0;
const portOf = (url: string) => Number(new URL(url).port);

let folder: Awaited<ReturnType<typeof servers.dataFolder>>;
let opened: Services[];
let said: string[];

beforeEach(async () => {
  folder = await servers.dataFolder();
  opened = [];
  said = [];
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(opened.map((services) => services.stop()));
  if (onLinux) await eventually(async () => (await servers.processesIn(folder.parent)).length === 0);
  await folder.remove();
});

async function open(options: Partial<ServiceOptions> = {}): Promise<Services> {
  const services = await openServices({
    dataDir: folder.dataDir,
    mode: 'own',
    queueBackend: 'redis',
    say: (line) => said.push(line),
    ...options,
  });
  opened.push(services);
  return services;
}

const answers = async ({ databaseUrl, redisUrl }: Services) =>
  (await postgresAnswers(portOf(databaseUrl), 'bullpen')) && (await redisAnswers(portOf(redisUrl!)));

it('starts nothing when both URLs are given', async () => {
  const services = await open({ databaseUrl: 'postgres://db/x', redisUrl: 'redis://cache' });
  expect(services).toMatchObject({
    databaseUrl: 'postgres://db/x',
    embedded: { postgres: false, redis: false },
    joined: false,
  });
  await expect(stat(folder.dataDir)).rejects.toThrow('ENOENT');
});

it('keeps the data over a stop and a start', async () => {
  const first = await open();
  expect(await servers.redis(first.redisUrl!, 'SET kept yes')).toContain('+OK\r\n+OK');
  await first.stop();
  expect(await readRunFile(folder.dataDir)).toBeNull();

  const second = await open();
  expect(await servers.redis(second.redisUrl!, 'GET kept', 'CONFIG GET maxmemory-policy')).toMatch(/yes[^]*noeviction/);
  expect(new URL(second.databaseUrl).password).toBe(new URL(first.databaseUrl).password);
  expect(await readFile(join(folder.dataDir, 'postgres.log'), 'utf8')).toContain('database system was shut down at');
  expect(said.filter((line) => line.includes('first start'))).toHaveLength(1);
});

it('refuses a second owner, naming the first, and lets others join', async () => {
  const owner = await open({ owner: { url: 'http://127.0.0.1:3000' } });
  const refused = await open().catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(ServiceError);
  expect(refused).toMatchObject({ code: 'already-running', exitCode: 78 });
  expect(String(refused)).toContain(`(pid ${process.pid}, http://127.0.0.1:3000). Stop it, or set DATA_DIR`);

  const guest = await open({ mode: 'join-or-own' });
  expect(guest).toMatchObject({ joined: true, databaseUrl: owner.databaseUrl, redisUrl: owner.redisUrl });
  await guest.stop();
  expect(await answers(owner)).toBe(true);

  await owner.announce({ url: 'http://127.0.0.1:4000' });
  expect(await readRunFile(folder.dataDir)).toMatchObject({ pid: process.pid, url: 'http://127.0.0.1:4000' });
  expect((await stat(join(folder.dataDir, 'run.json'))).mode & 0o777).toBe(0o600);
  expect((await stat(folder.dataDir)).mode & 0o066).toBe(0);
});

it('gives the lock to exactly one of many that come at once', async () => {
  const path = join(folder.dataDir, 'lock');
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => takeLock(path)));
  expect(outcomes.filter((outcome) => 'release' in outcome)).toHaveLength(1);
});

it('takes over from an owner whose pid now belongs to another process', async () => {
  await mkdir(join(folder.dataDir, 'lock'), { recursive: true });
  await writeFile(join(folder.dataDir, 'lock/held-1-0123456789abcdef-00000000'), '');
  await writeFile(join(folder.dataDir, 'run.json'), JSON.stringify({ pid: 1, start: 'long ago' }));
  expect(await readRunFile(folder.dataDir)).toBeNull();
  expect(await open({ mode: 'join-or-own', redisUrl: 'redis://elsewhere' })).toMatchObject({
    joined: false,
    redisUrl: 'redis://elsewhere',
  });
});

it('starts a killed server again on the same port', async () => {
  const services = await open();
  process.kill(await servers.postmasterPid(folder.dataDir), 'SIGKILL');
  const redisPid = /process_id:(\d+)/.exec(await servers.redis(services.redisUrl!, 'INFO server'))?.[1];
  process.kill(Number(redisPid), 'SIGKILL');
  await eventually(() => said.filter((line) => line.includes('died (SIGKILL)')).length === 2);
  await eventually(() => answers(services));
});

it('keeps the queues in PostgreSQL where no Redis can be had, says so in one line, and so does who joins', async () => {
  vi.stubEnv('PATH', folder.parent);
  const nowhere = { databaseUrl: 'postgres://elsewhere/x', fetchedRedis: join(folder.parent, 'no redis') };
  await expect(open({ ...nowhere, queueBackend: 'redis' })).rejects.toMatchObject({
    code: 'redis-missing',
    message: expect.stringMatching(/sudo apt-get install redis-server[^]*QUEUE_BACKEND=postgres/),
  });
  const without = { queueBackend: 'postgres', redisUrl: null, embedded: { postgres: false, redis: false } };
  const owner = await open({ ...nowhere, queueBackend: 'auto' });
  vi.unstubAllEnvs();
  expect(owner).toMatchObject(without);
  expect(said).toEqual([
    expect.stringMatching(/^No Redis to be had \(it is not on PATH\): the queues are kept in Post/),
  ]);
  expect(await readRunFile(folder.dataDir)).toMatchObject({ queueBackend: 'postgres', redisUrl: null });

  expect(await open({ mode: 'join-or-own', queueBackend: 'auto' })).toMatchObject({ ...without, joined: true });
  for (const other of [{ queueBackend: 'redis' }, { queueBackend: 'auto', redisUrl: 'redis://cache' }] as const) {
    await expect(open({ mode: 'join-or-own', ...other })).rejects.toMatchObject({ code: 'queue-backend' });
  }
});

it('starts nothing for queues in PostgreSQL when its URL is given', async () => {
  const given = { databaseUrl: 'postgres://db/x', redisUrl: 'redis://cache', queueBackend: 'postgres' } as const;
  expect(await open(given)).toMatchObject({ queueBackend: 'postgres', redisUrl: null, joined: false });
  await expect(stat(folder.dataDir)).rejects.toThrow('ENOENT');
});

it.runIf(onLinux)('leaves no orphan when its owner is killed, and hands over to the next', async () => {
  const owner = servers.forkOwner(folder.dataDir);
  const { databaseUrl } = await servers.servicesOf(owner);
  expect((await servers.processesIn(folder.dataDir)).length).toBeGreaterThan(5);
  await servers.killHard(owner);
  // At once, while the servers still shut down.
  const next = await open();
  expect(new URL(next.databaseUrl).password).toBe(new URL(databaseUrl).password);
  await next.stop();
  await eventually(async () => (await servers.processesIn(folder.dataDir)).length === 0);
});

it.runIf(onLinux)('repairs a first start that was killed half-way', async () => {
  const owner = servers.forkOwner(folder.dataDir);
  const unfinished = async () =>
    (await readdir(folder.dataDir).catch(() => [])).find((name) => name.startsWith('postgres.tmp-'));
  await eventually(async () => {
    const name = await unfinished();
    return name !== undefined && stat(join(folder.dataDir, name, 'base')).catch(() => null);
  });
  await servers.killHard(owner);
  expect(await answers(await open())).toBe(true);
  expect(await unfinished()).toBeUndefined();
});

it('is not held up by a postmaster.pid whose pid is another program, and refuses data of another version', async () => {
  const settings = { redisUrl: 'redis://elsewhere' };
  await (await open(settings)).stop();
  const data = join(folder.dataDir, 'postgres');
  await writeFile(join(data, 'postmaster.pid'), `${process.pid}\n${data}\n1\n5432\n\n127.0.0.1\n`);
  await (await open(settings)).stop();

  await writeFile(join(data, 'PG_VERSION'), '17\n');
  await expect(open(settings)).rejects.toMatchObject({
    code: 'postgres-version',
    message: expect.stringContaining('written by PostgreSQL 17'),
  });
});

it.runIf(onLinux)('ends with its owner where the kernel has no death signal', async () => {
  const owner = servers.forkOwner(folder.dataDir, await servers.pathWithout(folder.parent, 'setpriv'));
  await servers.servicesOf(owner);
  await servers.killHard(owner);
  await eventually(async () => (await servers.processesIn(folder.dataDir)).length === 0);
});

it.runIf(onLinux && asRoot)(
  'runs as nobody where root may not make user namespaces, and the other way round again',
  async () => {
    const owner = servers.forkOwner(folder.dataDir, await servers.pathWithout(folder.parent, 'unshare'));
    const { databaseUrl } = await servers.servicesOf(owner);
    const data = join(folder.dataDir, 'postgres');
    expect((await stat(data)).uid).toBe(65534);
    await servers.killHard(owner);
    expect(new URL((await open()).databaseUrl).password).toBe(new URL(databaseUrl).password);
    expect((await stat(data)).uid).toBe(0);
  },
);
