import { randomBytes } from 'node:crypto';
import {
  databaseForTest,
  eventually,
  freePort,
  hasRedis,
  redisCommand,
  type TestDatabase,
  testRedisUrl,
} from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { expect, onTestFinished, test } from 'vitest';
import { callCli, dataFolder, runCli, startCli } from './run-cli.ts';

/** In everything that must not be told. */
const marker = `m4rk3r${randomBytes(4).toString('hex')}`;
const linesWith = (text: string): string[] => text.split('\n').filter((line) => line.includes(marker));

/** Users with the marker for a password. */
async function urlsWithPasswords(database: TestDatabase): Promise<{ DATABASE_URL: string; REDIS_URL: string }> {
  const user = `user_${randomBytes(4).toString('hex')}`;
  const withUser = (text: string): string => Object.assign(new URL(text), { username: user, password: marker }).href;
  await database.db.execute(sql.raw(`create role ${user} login superuser password '${marker}'`));
  await redisCommand(testRedisUrl(), 'ACL', 'SETUSER', user, 'on', `>${marker}`, '~*', '&*', '+@all');
  onTestFinished(async () => {
    await redisCommand(testRedisUrl(), 'ACL', 'DELUSER', user);
    await database.db.execute(sql.raw(`reassign owned by ${user} to current_user`));
    await database.db.execute(sql.raw(`drop role ${user}`));
  });
  return { DATABASE_URL: withUser(database.url), REDIS_URL: withUser(testRedisUrl()) };
}

/** Faults of the database that name what they were given: in words (22P02) and in a detail (23514), on either side. */
async function breakTables({ db }: TestDatabase): Promise<void> {
  await db.execute(sql`alter table batches add constraint unbroken check (params::text not like '%check%')`);
  await db.execute(sql`alter table results add constraint unbroken check (output::text not like '%check%')`);
  await db.execute(sql`create function cast_params() returns trigger language plpgsql as $$ begin
    if new.params::text like '%cast%' then perform (new.params->>'secret')::bigint; end if; return new; end $$`);
  await db.execute(
    sql`create trigger cast_params before insert on batches for each row execute function cast_params()`,
  );
}

/** All that `npm start` starts, with all that it says. */
async function startAll(database: TestDatabase) {
  const port = await freePort();
  const env = {
    ...(await urlsWithPasswords(database)),
    DATA_DIR: await dataFolder(),
    HANDLERS: 'libs/handlers/src,libs/testkit/handlers',
    LOG_LEVEL: 'trace',
    PORT: port,
    WORKERS: '2',
    LEASE_MS: '1500',
    CHUNK_SIZE: '2',
    BULLPEN_URL: `http://127.0.0.1:${port}`,
  };
  const start = startCli(['start'], env);
  const told = (): string => start.stdout() + start.stderr();
  const says = (line: RegExp): Promise<unknown> => eventually(`it says ${line}`, () => line.test(told()), 20_000);
  await says(/Ready after/);

  async function request(path: string, body?: object): Promise<{ status: number; batch: Record<string, string> }> {
    const headers = { 'content-type': 'application/json', authorization: `Bearer bp_test_${marker}` };
    const post = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const answer = await fetch(env.BULLPEN_URL + path, { headers, ...post });
    return { status: answer.status, batch: (await answer.json()) as Record<string, string> };
  }
  const submit = (inputs: object[], params: object = {}, handler = 'leaky') =>
    request('/v1/batches', { handler, inputs, params, options: { maxAttempts: 1 } });
  const ended = ({ batch: { id } }: { batch: Record<string, string> }): Promise<string> =>
    eventually('it ends', async () => (await request(`/v1/batches/${id}`)).batch['state'] === 'completed' && id);
  return { env, told, says, submit, ended, stop: () => (start.child.kill('SIGINT'), start.ended) };
}

type All = Awaited<ReturnType<typeof startAll>>;
const item = (does: string, secret = marker) => ({ does, secret });
const items = (secret = marker) => Array.from({ length: 4 }, () => item('answer', secret));

/** What a client sends is in the hands of the database, and of a schema of a handler, when they fail. */
async function failRequests({ submit, says }: All): Promise<void> {
  expect((await submit(items(), { secret: `cast ${marker}` })).status).toBe(500);
  await says(/"error":"invalid input syntax for type bigint: \\"…\\"","code":"22P02"/);
  expect((await submit(items(), { secret: `check ${marker}` })).status).toBe(500);
  await says(/"error":"new row for relation \\"batches\\" violates[^\n]*"code":"23514"/);
  expect((await submit([item('answer', `refine ${marker}`)])).status).toBe(500);
  await says(/"error":"Leak","at":\[[^\n]*"msg":"a request failed"/);
}

/** A handler throws: its result says why, which is where that belongs. Its reduce throws, in a worker and in the producer. */
async function failHandlers({ env, submit, ended, says }: All): Promise<void> {
  const thrown = await ended(await submit([item('throw')], { secret: marker }));
  expect((await callCli(['results', thrown], env)).stdout).toContain(`cannot do\\n    at ${marker}`);
  await says(/"authorization":"\*\*\*"},"key":"bp_test_\*\*\*"[^\n]*"msg":"called http:\/\/me:\*\*\*@example.com"/);
  await submit(items(), { secret: marker, breaks: 'zero' });
  await says(/"error":"Leak","at":\[[^\n]*"msg":"reduce failed/);
  await submit(items(`merge ${marker}`));
  await says(/"name":"producer"[^\n]*"error":"Leak"[^\n]*"msg":"reduce failed/);
  await ended(await submit(items(), { breaks: 'summary' }));
  await says(/"error":"Leak"[^\n]*"msg":"a summary cannot be made"/);
}

/** A thread ends, a worker ends by a handler, another by a flush that cannot be written, and the database refuses all. */
async function endProcesses({ submit, says }: All, database: TestDatabase): Promise<void> {
  await submit([item('rejectInstead')], {}, 'leaky-in-threads');
  await says(/"code":"[\w-]+"[^\n]*"msg":"a thread was lost with its chunk"/);
  await submit([item('rejectLater')]);
  await says(/"error":"Leak","at":\[[^\n]*"msg":"uncaught error"/);
  await submit([item('answer', `check ${marker}`)]);
  await says(/"error":"new row for relation \\"results[^\n]*"code":"23514"[^\n]*"msg":"uncaught error"/);
  await says(/worker \d ended \(exit code 1\); starting it again/);
  await database.refuse(true);
  await says(/tried again"/);
  await database.refuse(false);
}

test.runIf(hasRedis)('nothing that runs tells a key, a password, an input, an output or a parameter', async () => {
  const database = await databaseForTest();
  await breakTables(database);
  const all = await startAll(database);
  await failRequests(all);
  await failHandlers(all);
  await endProcesses(all, database);
  const doctor = await callCli(['doctor'], all.env);
  expect(doctor.stdout).toContain('postgres tls');
  await all.stop();
  expect(linesWith(all.told() + doctor.stdout + doctor.stderr)).toEqual([]);
});

test('a setting that is refused tells no password', async () => {
  const { code, stdout, stderr } = await runCli(['start'], { env: { LOG_LEVEL: `postgres://me:${marker}@host/db` } });
  expect(code).toBe(78);
  expect(stderr).toContain('not "postgres://me:***@host/db"');
  expect(linesWith(stdout + stderr)).toEqual([]);
});
