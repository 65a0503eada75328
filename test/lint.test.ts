import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

/** What the linter says of a file with this text in this place. */
function lint(place: string, text: string): string {
  const folder = mkdtempSync(join(place, 'lint-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'file.ts'), text);
  const bin = resolve('node_modules/oxlint/bin/oxlint');
  const { stdout } = spawnSync(process.execPath, [bin, folder], { encoding: 'utf8' });
  return stdout;
}

it.each([
  ['apps/worker', `import 'bullmq';`, 'Only libs/queue talks to Redis'],
  ['apps/worker', `import 'ioredis';`, 'Only libs/queue talks to Redis'],
  ['apps/producer', `import 'postgres';`, 'Only libs/db talks to PostgreSQL'],
  ['apps/producer', `import 'drizzle-orm/pg-core';`, 'Only libs/db talks to PostgreSQL'],
  ['apps/cli', `import '@bullpen/producer';`, 'Apps never import each other'],
  ['apps/cli', `import '../../producer/src/listen.ts';`, 'Import a package by its name'],
  ['libs/db', `import '@bullpen/queue';`, 'libs/db and libs/queue never meet'],
  ['libs/queue', `import '@bullpen/db';`, 'libs/db and libs/queue never meet'],
  ['libs/queue', `import 'postgres';`, 'Only libs/db talks to PostgreSQL'],
  ['libs/queue', `import 'pg';`, 'Only BullMQ uses node-postgres'],
  ['apps/worker', `import 'pg';`, 'Only BullMQ uses node-postgres'],
  ['libs/db', `import 'pg';`, 'Only BullMQ uses node-postgres'],
  ['libs/api', `import '@bullpen/db';`, 'handlers, api and runtime know neither'],
  ['libs/db', `const sql = globalThis as any; sql.begin();`, 'One state change is one statement'],
  ['libs/db', `const db = globalThis as any; db.transaction();`, 'One state change is one statement'],
  ['libs/db', `const sql = globalThis as any; sql.unsafe('');`, 'Statements are built with Drizzle'],
  ['apps/worker', `export const port = process.env.PORT;`, 'Settings are parsed once'],
])('in %s the linter refuses %s', (place, text, message) => {
  expect(lint(place, text)).toContain(message);
});
