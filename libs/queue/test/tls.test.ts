import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkQueues, prepareQueues } from '@bullpen/queue';
import { createAuthority, databaseForTest, hasRedis, testRedisUrl, tlsFront } from '@bullpen/testkit';
import { describe, expect, it, onTestFinished } from 'vitest';

const authority = createAuthority();
const look = (url: string) => checkQueues({ kind: 'redis', url });
const refused = (line: RegExp) => ({ problems: [expect.stringMatching(line)], away: false });

/** A CA of a test can be made known to a process by its start alone: with it test/tls.test.ts shows what is good. */
describe.runIf(hasRedis)('the connection to Redis is refused', () => {
  it('where no known CA has signed the certificate, whatever NODE_TLS_REJECT_UNAUTHORIZED says', async () => {
    const { url } = await tlsFront(testRedisUrl(), authority.issue());
    const line =
      /^Redis at 127.0.0.1:\d+ shows a certificate that no known CA has signed \(\w+\): .* NODE_EXTRA_CA_CERTS=<file>$/;
    expect(await look(url())).toEqual(refused(line));
    expect(await look(url().replace('rediss:', 'REDISS:'))).toEqual(refused(line));
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    onTestFinished(() => void delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']);
    expect(await look(`${url()}?tls=none`)).toEqual(refused(line));
  });

  it('where one side speaks TLS and the other does not', async () => {
    const { url } = await tlsFront(testRedisUrl(), authority.issue());
    expect(await look(url().replace('rediss:', 'redis:'))).toEqual(
      refused(/^Redis at 127.0.0.1:\d+ takes TLS only: use rediss:\/\/ in REDIS_URL$/),
    );
    expect(await look(testRedisUrl().replace('redis:', 'rediss:'))).toEqual(
      refused(/^Redis at .* speaks no TLS: turn it on there, or use redis:\/\/ in REDIS_URL where/),
    );
  });
});

it('the connection of queues in PostgreSQL is verified as the one of the database', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bullpen-tls-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'ca.pem');
  await writeFile(file, authority.cert);
  const { url } = await databaseForTest();
  const front = await tlsFront(url, authority.issue());
  const prepare = () => prepareQueues({ kind: 'postgres', url: `${front.url()}?sslmode=require&sslrootcert=${file}` });
  await prepare();
  front.show(authority.issue({ names: ['localhost'] }));
  await expect(prepare()).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  front.show(authority.issue({ from: -20, until: -1 }));
  await expect(prepare()).rejects.toMatchObject({ code: 'CERT_HAS_EXPIRED' });
  front.show(createAuthority('another').issue());
  await expect(prepare()).rejects.toMatchObject({ code: expect.stringMatching(/UNABLE_TO|SELF_SIGNED|SIGNATURE/) });
});
