import { checkDatabase, install, openDatabase } from '@bullpen/db';
import { databaseForTest } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { describe, expect, inject, it } from 'vitest';

const server = (change: (url: URL) => void): string => {
  const url = new URL(inject('databaseUrl'));
  change(url);
  return url.href;
};

describe('checkDatabase', () => {
  it('finds nothing wrong with a good server', async () => {
    expect(await checkDatabase(inject('databaseUrl'), 40)).toEqual({ problems: [], away: false });
  });

  it('says how many connections are too many, and the line that allows more', async () => {
    const { problems, away } = await checkDatabase(inject('databaseUrl'), 5000);
    expect(away).toBe(false);
    expect(problems).toEqual([
      expect.stringMatching(/can open 5000 connections.*ALTER SYSTEM SET max_connections = 5050/),
    ]);
  });

  it('says which database is missing, and that a server is away', async () => {
    const missing = await checkDatabase(
      server((url) => (url.pathname = '/nowhere')),
      10,
    );
    expect(missing).toEqual({ problems: [expect.stringMatching(/no database "nowhere": run: createdb/)], away: false });
    const away = await checkDatabase(
      server((url) => (url.port = '1')),
      10,
    );
    expect(away).toEqual({
      problems: [expect.stringMatching(/cannot be reached \(ECONNREFUSED\): start it/)],
      away: true,
    });
  });
});

describe('openDatabase', () => {
  it.each([
    [true, 'on'],
    [false, 'off'],
  ])('durable %s: the session has what it asks for', async (durable, commit) => {
    const { db, close } = openDatabase({ url: inject('databaseUrl'), max: 1, name: 'a name', durable });
    const rows = await db.execute(sql`
      select current_setting('jit') as jit, current_setting('plan_cache_mode') as plans,
        current_setting('synchronous_commit') as commit, current_setting('application_name') as name`);
    await close();
    expect([...rows]).toEqual([{ jit: 'off', plans: 'force_custom_plan', commit, name: 'a name' }]);
  });
});

describe('install', () => {
  it('fixes the partitions once, and refuses another number later', async () => {
    const database = await databaseForTest({ partitions: 7 });
    expect(await install(database.db, null)).toEqual(database.installation);
    expect(database.installation.partitions).toBe(7);
    await expect(install(database.db, 12)).rejects.toThrow('PARTITIONS is 12, but this database was set up with 7');
    const { db, close } = openDatabase({ url: database.url, max: 1, name: 'test', durable: true });
    expect((await install(db, 7)).id).toBe(database.installation.id);
    await close();
  });
});
