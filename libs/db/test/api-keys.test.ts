import { randomUUID } from 'node:crypto';
import { createDatabase, type TestDatabase } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let database: TestDatabase;
beforeAll(async () => void (database = await createDatabase()));
afterAll(() => database.drop());

type Scope = 'submit' | 'read' | 'control' | 'admin';
const key = (id: string, scopes: Scope[], more: { owner?: string; expiresAt?: Date } = {}) => ({
  id,
  hash: 'f'.repeat(64),
  name: id,
  owner: '',
  scopes,
  rate: null,
  expiresAt: null,
  ...more,
});
const rows = async <Row>(query: ReturnType<typeof sql>): Promise<Row[]> =>
  (await database.db.execute(query)) as unknown as Row[];

describe('API keys', () => {
  it('the first one has to be an admin; its owner gets a place in the fair order', async () => {
    const { statements } = database;
    expect(await statements.createApiKey(key('reader', ['read'], { owner: 'acme' }))).toBe(false);
    expect(await statements.apiKeys()).toEqual([]);
    expect(await rows(sql`select owner from owners order by 1`)).toEqual([{ owner: '' }]);
    const ending = { expiresAt: new Date(Date.now() + 60_000) };
    expect(await statements.createApiKey(key('ending', ['admin'], ending))).toBe(false);
    expect(await statements.createApiKey(key('first', ['admin']), 'somebody')).toBe(true);
    expect(await statements.createApiKey(key('reader', ['read', 'submit'], { owner: 'acme' }))).toBe(true);
    // Said again it is there once.
    expect(await statements.createApiKey(key('reader', ['read'], { owner: 'acme' }))).toBe(true);
    expect((await statements.apiKeys()).map(({ id, scopes, owner }) => ({ id, scopes, owner }))).toEqual([
      { id: 'first', scopes: ['admin'], owner: '' },
      { id: 'reader', scopes: ['read', 'submit'], owner: 'acme' },
    ]);
    expect(await rows(sql`select owner from owners order by 1`)).toEqual([{ owner: '' }, { owner: 'acme' }]);
    expect(await rows(sql`select who, action, target, changed from audit order by no`)).toEqual([
      { who: 'somebody', action: 'create-key', target: 'first', changed: true },
      { who: null, action: 'create-key', target: 'reader', changed: true },
      { who: null, action: 'create-key', target: 'reader', changed: false },
    ]);
    expect(JSON.stringify(await rows(sql`select detail from audit`))).not.toContain('ffff');
  });

  it('the last admin stays, also when two are revoked at once, or the other one has expired', async () => {
    const { statements } = database;
    expect(await statements.revokeApiKey('first')).toBe(false);
    expect(await statements.revokeApiKey('nobody')).toBe(true);
    for (const ms of [-1000, 60_000]) {
      await statements.createApiKey(key(`ends${ms}`, ['admin'], { expiresAt: new Date(Date.now() + ms) }));
      expect(await statements.revokeApiKey('first')).toBe(false);
    }
    expect(await statements.revokeApiKey('ends60000')).toBe(true);
    for (let round = 0; round < 20; round += 1) {
      const ids = [randomUUID().slice(0, 8), randomUUID().slice(0, 8)];
      for (const id of ids) await statements.createApiKey(key(id, ['admin']));
      const [{ left }] = (await rows<{ left: string }>(
        sql`select id as left from api_keys where 'admin' = any(scopes) and revoked_at is null and expires_at is null and id <> all(array[${ids[0]}, ${ids[1]}])`,
      )) as [{ left: string }];
      await statements.revokeApiKey(left);
      const revoked = await Promise.all(ids.map((id) => statements.revokeApiKey(id)));
      expect(revoked.filter(Boolean)).toHaveLength(1);
    }
    expect(
      await rows(
        sql`select count(*)::int from api_keys where 'admin' = any(scopes) and revoked_at is null and expires_at is null`,
      ),
    ).toEqual([{ count: 1 }]);
  });

  it('single items and Idempotency-Keys of two owners never meet', async () => {
    const { statements } = database;
    const roll = (owner: string) => statements.rollJobs({ owner, handler: 'echo', id: randomUUID(), options: '{}' });
    const [mine, other] = [await roll(''), await roll('acme')];
    expect(await roll('')).toBe(mine);
    expect(other).not.toBe(mine);
    const job = { input: '1', key: { key: 'k', hash: 'h' } };
    const put = (owner: string, batch: string) =>
      statements.appendJobs({ owner, batch, group: randomUUID(), jobs: [job] });
    expect(await put('', mine)).toEqual([{ batch: mine, index: 0, hash: null }]);
    expect(await put('acme', other)).toEqual([{ batch: other, index: 0, hash: null }]);
    expect(await put('acme', other)).toEqual([{ batch: other, index: 0, hash: 'h' }]);
    expect(await statements.receipt({ owner: 'acme', key: 'k' })).toMatchObject({ batch: other });
    expect(await statements.receipt({ owner: 'nobody', key: 'k' })).toBeNull();
  });
});
