import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  checkLedger,
  createAuthority,
  databaseForTest,
  hasRedis,
  type House,
  startApp,
  startHouse,
  testRedisUrl,
  tlsFront,
} from '@bullpen/testkit';
import { describe, expect, it, onTestFinished } from 'vitest';

const authority = createAuthority();

async function authorityFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'bullpen-tls-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'ca.pem'), authority.cert);
  return join(folder, 'ca.pem');
}

async function runsWhole(house: House): Promise<void> {
  onTestFinished(() => house.stop());
  const id = await house.submit({ handler: 'echo', count: 20_000 });
  expect((await house.ended(id)).counts).toMatchObject({ succeeded: 20_000, failed: 0 });
  expect(await checkLedger(house.database)).toEqual([]);
}

describe('over TLS, with a CA of its own, a whole batch ends', () => {
  it.runIf(hasRedis)('with the queues in Redis', async () => {
    const file = await authorityFile();
    const through = async (server: string): Promise<string> => {
      const url = (await tlsFront(server, authority.issue())).url('localhost');
      return url.startsWith('rediss:') ? url : `${url}?sslmode=verify-full&sslrootcert=${file}`;
    };
    const env = { NODE_EXTRA_CA_CERTS: file };
    await runsWhole(await startHouse({ workers: 2, queueBackend: 'redis', through, env }));
  });

  it('with the queues in PostgreSQL, by NODE_EXTRA_CA_CERTS alone', async () => {
    const env = { NODE_EXTRA_CA_CERTS: await authorityFile() };
    const through = async (server: string): Promise<string> =>
      `${(await tlsFront(server, authority.issue({ names: ['127.0.0.1'] }))).url()}?sslmode=require`;
    await runsWhole(await startHouse({ workers: 2, queueBackend: 'postgres', through, env }));
  });
});

it('a start says so where nothing is verified', async () => {
  const { url } = await databaseForTest();
  const front = await tlsFront(url, createAuthority('another').issue({ names: ['other'] }));
  const worker = await startApp('worker', {
    DATABASE_URL: `${front.url()}?sslmode=no-verify`,
    QUEUE_BACKEND: 'postgres',
  });
  onTestFinished(async () => void (await worker.end('SIGKILL')));
  expect(worker.log()).toMatch(/"level":40[^\n]*sslmode=no-verify in DATABASE_URL: whoever is in between can read/);
});

describe.runIf(hasRedis)('a start is refused at once, with 78 and a line', () => {
  const start = (env: Record<string, string>): Promise<unknown> =>
    startApp('worker', { QUEUE_BACKEND: 'auto', ...env });

  it('by a certificate of PostgreSQL, or a word, that is not right', async () => {
    const { url } = await databaseForTest();
    const file = await authorityFile();
    const front = await tlsFront(url, authority.issue({ names: ['db.example.com'] }));
    const tries: [words: string, line: RegExp][] = [
      [`sslmode=require&sslrootcert=${file}`, /ended with 78[^]*is not for this name, but for db.example.com/],
      ['sslmode=require', /ended with 78[^]*no known CA has signed/],
      ['sslmode=prefer', /ended with 78[^]*DATABASE_URL: sslmode must be one of disable, require/],
      ['sslmode=require&sslrootcert=/nowhere', /ended with 78[^]*sslrootcert \/nowhere cannot be read \(ENOENT\)/],
    ];
    await Promise.all(
      tries.map(([words, line]) =>
        expect(start({ DATABASE_URL: `${front.url()}?${words}`, REDIS_URL: testRedisUrl() })).rejects.toThrow(line),
      ),
    );
  });

  it('by a certificate of Redis for another name, one that has expired, and one of another CA', async () => {
    const { url } = await databaseForTest();
    const env = { DATABASE_URL: url, NODE_EXTRA_CA_CERTS: await authorityFile() };
    const other = await tlsFront(testRedisUrl(), authority.issue({ names: ['localhost'] }));
    const expired = await tlsFront(testRedisUrl(), authority.issue({ from: -20, until: -1 }));
    const foreign = await tlsFront(testRedisUrl(), createAuthority('another').issue());
    await Promise.all([
      expect(start({ ...env, REDIS_URL: other.url() })).rejects.toThrow(
        /ended with 78[^]*Redis at 127.0.0.1:\d+ shows a certificate that is not for this name, but for localhost/,
      ),
      expect(start({ ...env, REDIS_URL: expired.url() })).rejects.toThrow(/ended with 78[^]*has expired/),
      expect(start({ ...env, REDIS_URL: foreign.url() })).rejects.toThrow(/ended with 78[^]*no known CA has signed/),
    ]);
  });
});
