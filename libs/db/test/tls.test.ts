import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkDatabase, openDatabase, withRetry } from '@bullpen/db';
import { createAuthority, eventually, tlsFront } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, inject, it, onTestFinished } from 'vitest';

const authority = createAuthority();

/** The run's server behind a front, and DATABASE_URL for it, verified by this CA. */
async function front(names: readonly string[] = ['127.0.0.1'], days: { from?: number; until?: number } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'bullpen-tls-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const opened = await tlsFront(inject('databaseUrl'), authority.issue({ names, ...days }));
  async function url(words = 'sslmode=verify-full', { host = '127.0.0.1', ca = authority.cert } = {}): Promise<string> {
    const file = join(folder, 'ca.pem');
    await writeFile(file, ca);
    return `${opened.url(host)}?${words}&sslrootcert=${file}`;
  }
  return { ...opened, url };
}

const look = (url: string) => checkDatabase(url, 10);
const refused = (line: RegExp) => ({ problems: [expect.stringMatching(line)], away: false });
const good = { problems: [], away: false };

describe('the connection to PostgreSQL', () => {
  it('is good by any name of the certificate: a host name, and an address', async () => {
    const { url } = await front(['localhost', '127.0.0.1']);
    expect(await look(await url())).toEqual(good);
    expect(await look(await url('sslmode=require', { host: 'localhost' }))).toEqual(good);
  });

  it('is refused where the certificate is for another name, also for localhost where the URL has an address', async () => {
    const { url } = await front(['localhost', 'db.example.com']);
    const line =
      /^PostgreSQL at 127.0.0.1:\d+ shows a certificate that is not for this name, but for localhost, db.example.com: use/;
    expect(await look(await url())).toEqual(refused(line));
    expect(await look(await url('sslmode=verify-ca'))).toEqual(good);
  });

  it('is refused where another CA has signed it, or none that is known', async () => {
    const { url } = await front();
    const line =
      /^PostgreSQL at .* no known CA has signed \(\w+\): name the file of its CA by NODE_EXTRA_CA_CERTS=<file>, or/;
    expect(await look(await url('sslmode=verify-ca', { ca: createAuthority('another').cert }))).toEqual(refused(line));
    expect(await look((await url()).replace(/sslrootcert=.*/, 'sslrootcert=system'))).toEqual(refused(line));
  });

  it('is refused where the certificate has expired, or is not valid yet', async () => {
    const expired = await front(['127.0.0.1'], { from: -20, until: -1 });
    expect(await look(await expired.url())).toEqual(refused(/shows a certificate that has expired: renew it/));
    const early = await front(['127.0.0.1'], { from: 1 });
    expect(await look(await early.url())).toEqual(refused(/not valid yet: check the clocks/));
  });

  it('is what was asked for, or none: TLS from a server that has none, plain text to one that takes TLS only', async () => {
    const plain = `${inject('databaseUrl')}?sslmode=require`;
    expect(await look(plain)).toEqual(
      refused(/^PostgreSQL at .* speaks no TLS: turn it on there, or take sslmode out/),
    );
    const { url } = await front();
    expect(await look((await url()).replace(/[?].*/, ''))).toEqual(
      refused(/^PostgreSQL at .* takes TLS only: add \?sslmode=verify-full to DATABASE_URL$/),
    );
  });

  it('is not verified only where that is said, and then it is said again', async () => {
    const { url } = await front(['other'], { until: -1 });
    expect(await look((await url()).replace(/[?].*/, '?sslmode=no-verify'))).toEqual({
      ...good,
      warnings: [expect.stringMatching(/^sslmode=no-verify in DATABASE_URL: whoever is in between/)],
    });
  });

  it('waits, once it was there, for a certificate that has expired to be renewed', async () => {
    const opened = await front();
    const { db, close } = openDatabase({ url: await opened.url(), max: 1, name: 'tls', durable: true });
    onTestFinished(close);
    await db.execute(sql`select 1`);
    opened.show(authority.issue({ names: ['127.0.0.1'], from: -20, until: -1 }));
    const said: string[] = [];
    const onRetry = (_verdict: unknown, error: unknown): void => void said.push(String((error as Error).cause));
    const answer = withRetry(() => db.execute(sql`select 1 as one`), { reconnectMs: Infinity, onRetry });
    await eventually('it is refused', () => said.some((words) => words.includes('certificate has expired')));
    opened.show(authority.issue({ names: ['127.0.0.1'] }));
    expect([...(await answer)]).toEqual([{ one: 1 }]);
  });
});
