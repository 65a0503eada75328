import { readFile } from 'node:fs/promises';
import { databaseForTest } from '@bullpen/testkit';
import { getTableColumns, getTableName, is, sql, Table } from 'drizzle-orm';
import { describe, expect, it } from 'vitest';
import * as schema from '../src/schema.ts';

describe('the schema', () => {
  it('is the same in Drizzle and in the database', async () => {
    const database = await databaseForTest();
    const rows = (await database.db.execute(sql`
      select table_name, column_name, data_type, is_nullable from information_schema.columns where table_schema = 'bullpen'`)) as unknown as {
      table_name: string;
      column_name: string;
      data_type: string;
      is_nullable: string;
    }[];
    const found = rows
      .filter((row) => row.table_name !== 'migrations' && !/^(results|inputs)_/.test(row.table_name))
      .map(
        (row) =>
          `${row.table_name}.${row.column_name} ${row.data_type} ${row.is_nullable === 'YES' ? 'null' : 'not null'}`,
      );
    const said = Object.values(schema)
      .filter((table) => is(table, Table))
      .flatMap((table) =>
        Object.values(getTableColumns(table)).map(
          (column) =>
            `${getTableName(table)}.${column.name} ${column.getSQLType().replace(/.*\[\]$/, 'ARRAY')} ${column.notNull ? 'not null' : 'null'}`,
        ),
      );
    expect(found.sort()).toEqual(said.sort());
  });

  it('has each index that Drizzle says, and a migration that says so', async () => {
    const database = await databaseForTest();
    const rows = (await database.db.execute(
      sql`select indexname from pg_indexes where schemaname = 'bullpen'`,
    )) as unknown as { indexname: string }[];
    const migration = await readFile(new URL('../migrations/0000_tables.sql', import.meta.url), 'utf8');
    const named = [...migration.matchAll(/CREATE INDEX "(\w+)"/g)].map((match) => match[1]);
    expect(named.length).toBeGreaterThan(5);
    for (const name of named) expect(rows.map((row) => row.indexname)).toContain(name);
  });
});
