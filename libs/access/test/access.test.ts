import { createAccess, makeKey, rowOfKey, whyForbidden, type Caller } from '@bullpen/access';
import type { Scope } from '@bullpen/api';
import { createDatabase, eventually, type TestDatabase } from '@bullpen/testkit';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { whyNotLocal } from '../src/loopback.ts';

const local = { peer: '127.0.0.1', headers: { host: 'localhost:3000' } };

describe('the rule without keys', () => {
  test.each([
    local,
    { peer: '::1', headers: { host: '[::1]:3000' } },
    { peer: '::ffff:127.0.0.1', headers: { host: '127.0.0.1' } },
    { peer: '127.0.0.1', headers: { host: 'localhost:3000', origin: 'http://localhost:3000' } },
  ])('lets in %j', (asked) => expect(whyNotLocal(asked)).toBeNull());

  test.each([
    { ...local, peer: '10.0.0.1' },
    { ...local, peer: '::ffff:10.0.0.1' },
    { ...local, peer: undefined },
    { ...local, headers: {} },
    { ...local, headers: { host: 'evil.example:3000' } },
    { ...local, headers: { host: 'localhost.evil.example' } },
    { ...local, headers: { host: 'localhost:3000', forwarded: 'for=1.2.3.4' } },
    { ...local, headers: { host: 'localhost:3000', 'x-forwarded-for': '127.0.0.1' } },
    { ...local, headers: { host: 'localhost:3000', 'x-forwarded-anything': '' } },
    { ...local, headers: { host: 'localhost:3000', origin: 'null' } },
    { ...local, headers: { host: 'localhost:3000', origin: 'http://localhost:4000' } },
    { ...local, headers: { host: 'localhost:3000', origin: 'http://evil.example' } },
  ])('keeps out %j', (asked) => expect(whyNotLocal(asked)).toBeTypeOf('string'));
});

describe('with keys', () => {
  let database: TestDatabase;
  beforeAll(async () => void (database = await createDatabase()));
  afterAll(() => database.drop());

  async function add(more: { scopes?: Scope[]; owner?: string; expiresAt?: Date } = {}) {
    const { key } = makeKey();
    const { scopes = ['admin'], owner = '', expiresAt = null } = more;
    const row = { ...rowOfKey(key), name: 'a key', owner, scopes, rate: null, expiresAt };
    await database.statements.createApiKey(row);
    return { key, id: row.id };
  }
  const open = (hosts: readonly string[] | null = null) => createAccess({ statements: database.statements, hosts });
  const far = (authorization?: string, more: object = {}) => ({
    peer: '203.0.113.7',
    headers: { host: 'bullpen.example.com', ...(authorization !== undefined && { authorization }), ...more },
  });
  const basic = (key: string): string => `Basic ${Buffer.from(`anybody:${key}`).toString('base64')}`;

  it('only they count, from the first one on, and within 2 s in all processes', async () => {
    const access = open();
    expect(await access.isKeyless()).toBe(true);
    expect(await access.caller(local, false)).toMatchObject({ owner: '', who: null });
    const { key, id } = await add();
    await eventually('a key is needed', async () => 'slug' in (await access.caller(local, false)), 2000);
    expect(await access.caller(far(`Bearer ${key}`), false)).toMatchObject({
      owner: '',
      who: `a key (${id})`,
      keyId: id,
      scopes: ['submit', 'read', 'control', 'admin'],
    });
    const made = await add({ owner: 'acme', scopes: ['read'] });
    await eventually('it holds', async () => 'owner' in (await access.caller(far(`Bearer ${made.key}`), false)), 2000);
    expect(await access.caller(far(`bearer ${made.key}`), false)).toMatchObject({ owner: 'acme', scopes: ['read'] });
    await database.statements.revokeApiKey(made.id);
    await eventually(
      'it is refused',
      async () => 'slug' in (await access.caller(far(`Bearer ${made.key}`), false)),
      2000,
    );
  });

  it('what is not the whole key is refused, and nothing says how much of it was right', async () => {
    const { key, id } = await add();
    const other = await add();
    const expiresAt = new Date(Date.now() + 50);
    const soon = await add({ expiresAt });
    await eventually('it has expired', async () => Date.now() > expiresAt.getTime());
    const wrong = [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      `Bearer ${key.slice(0, -1)}`,
      `Bearer ${key}0`,
      `Bearer bp_${id}_${other.key.split('_')[2]}`,
      `Bearer bp_nobody_${'a'.repeat(48)}`,
      `Bearer bp___proto__${'a'.repeat(48)}`,
      `Token ${key}`,
      key,
      basic(key),
      `Bearer ${soon.key}`,
    ];
    const access = open();
    for (const authorization of wrong)
      expect([authorization, await access.caller(far(authorization), false)]).toEqual([
        authorization,
        {
          slug: 'unauthorized',
          detail: expect.stringMatching(/^(A key is needed|The key is not known, is revoked, or has expired)/),
        },
      ]);
  });

  it('a browser may send one as a password, for pages, but not for a page of another origin', async () => {
    const { key } = await add();
    const access = open();
    expect(await access.caller(far(basic(key)), true)).toMatchObject({ owner: '' });
    const own = { origin: 'https://bullpen.example.com' };
    expect(await access.caller(far(basic(key), own), true)).toMatchObject({ owner: '' });
    const foreign = { origin: 'https://evil.example' };
    expect(await access.caller(far(basic(key), foreign), true)).toMatchObject({ slug: 'unauthorized' });
    // A program knows its key.
    expect(await access.caller(far(`Bearer ${key}`, foreign), true)).toMatchObject({ owner: '' });
  });

  it('only its own names are answered, and those of this machine', async () => {
    const { key } = await add();
    const access = open(['bullpen.example.com']);
    const asked = (host: string) =>
      access.caller({ peer: '203.0.113.7', headers: { host, authorization: `Bearer ${key}` } }, false);
    for (const host of ['bullpen.example.com', 'BULLPEN.example.com:8443', 'localhost:3000', '[::1]'])
      expect(await asked(host)).toMatchObject({ owner: '' });
    for (const host of ['evil.example', 'bullpen.example.com.evil.example', '', '203.0.113.1'])
      expect(await asked(host)).toMatchObject({ slug: 'unknown-host' });
  });

  it('a read that hangs is given up after 5 s, and what was revoked meanwhile is refused', async () => {
    const { key, id } = await add();
    let hangs = false;
    const { apiKeys } = database.statements;
    const hang = (): Promise<never> => {
      hangs = false;
      return new Promise<never>(() => undefined);
    };
    const access = createAccess({ statements: { apiKeys: () => (hangs ? hang() : apiKeys()) }, hosts: null });
    await access.load();
    hangs = true;
    await database.statements.revokeApiKey(id);
    const isRefused = async () => 'slug' in (await access.caller(far(`Bearer ${key}`), false));
    await eventually('the read hangs', async () => (await isRefused(), !hangs));
    expect(await isRefused()).toBe(false);
    await eventually('it is refused', isRefused, 6000);
  });

  it('those that are known hold while the database is away, and nobody waits for it', async () => {
    const { key } = await add();
    let away = false;
    const { apiKeys } = database.statements;
    const statements = { apiKeys: () => (away ? new Promise<never>(() => undefined) : apiKeys()) };
    const access = createAccess({ statements, hosts: null });
    await access.load();
    away = true;
    access.forget();
    for (let asked = 0; asked < 20; asked += 1)
      expect(await access.caller(far(`Bearer ${key}`), false)).toMatchObject({ owner: '' });
    // With the database back it is asked again, and what has just changed here is waited for.
    away = false;
    await database.statements.revokeApiKey(key.split('_')[1]!);
    access.forget();
    expect(await access.caller(far(`Bearer ${key}`), false)).toMatchObject({ slug: 'unauthorized' });
    const never = createAccess({ statements: { apiKeys: () => Promise.reject(new Error('away')) }, hosts: null });
    await expect(never.caller(far(`Bearer ${key}`), false)).rejects.toThrow('away');
  });
});

test('a scope allows what it names; admin allows everything', () => {
  const caller = (...scopes: Scope[]): Caller => ({ owner: '', who: null, keyId: null, rate: null, scopes });
  expect(whyForbidden(caller('read'), 'read')).toBeNull();
  expect(whyForbidden(caller('read'), 'key')).toBeNull();
  expect(whyForbidden(caller('read', 'submit'), 'control')).toEqual({
    slug: 'forbidden',
    detail: 'The key needs the scope control; it has read, submit',
  });
});
