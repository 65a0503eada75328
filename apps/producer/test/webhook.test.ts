import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '@bullpen/runtime';
import { eventually, isSigned, openReceiver, type Receiver, selfSigned } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createSummaries } from '../src/http/summaries.ts';
import { createTellings, type TellingDeps, waitMs } from '../src/webhook/tellings.ts';
import { ask, openApp, openReducer, post, type TestApp, work } from './http-app.ts';

const settings = { webhookAllowPrivate: true, leaseMs: 200 };
const secret = 'a-secret-of-more-than-16';
const log = createLog({ name: 'test', level: 'silent', pretty: false });
let app: TestApp;
beforeAll(async () => void (app = await openApp({ settings: { webhookAllowPrivate: true } })));
// What one test has left untold is nothing to the next.
beforeEach(async () => void (await app.database.db.execute(sql`update batches set tell_at = null`)));
afterAll(() => app.close());

/** What a producer runs beside its other loops. */
function tell(change: Partial<TellingDeps> = {}): { stop: () => Promise<void> } {
  const { statements } = app.database;
  const reducer = openReducer();
  const summaries = createSummaries({ statements, handlers: new Map(), reducer, log });
  const limits = { timeoutMs: 400, backoffBaseMs: 20, ...change.limits };
  const tellings = createTellings({ statements, summaries, settings, log, ...change, limits });
  onTestFinished(async () => {
    await tellings.stop();
    await reducer.close();
  });
  return tellings;
}
async function receiver(...given: Parameters<typeof openReceiver>): Promise<Receiver> {
  const opened = await openReceiver(...given);
  onTestFinished(() => opened.close());
  return opened;
}
const make = async (url: string, body: object = {}): Promise<string> => {
  const answer = await post(app, {
    handler: 'echo',
    count: 3,
    params: { key: 1 },
    ...body,
    options: { webhook: { url, secret } },
  });
  expect(answer).toMatchObject({ status: 202, body: { webhook: { state: 'waiting', attempts: 0 } } });
  return answer.body.id;
};
const webhookOf = async (id: string): Promise<{ state: string; attempts: number; lastError: string | null }> =>
  (await ask(app, `/v1/batches/${id}`)).body.webhook;
const becomes = (id: string, state: string): Promise<{ attempts: number; lastError: string | null }> =>
  eventually(`the webhook is ${state}`, async () => {
    const webhook = await webhookOf(id);
    return webhook.state === state && webhook;
  });
const tries = (of: Receiver, count: number): Promise<boolean> =>
  eventually(`${count} tries`, () => of.letters.length >= count);

describe('a webhook', () => {
  it('is told the completed batch once, signed, and nothing before', async () => {
    const hook = await receiver();
    tell();
    const id = await make(hook.url);
    const other = await make(hook.url);
    await work(app.database, { chunks: 1 });
    await work(app.database);
    expect(await becomes(id, 'delivered')).toEqual({
      url: hook.url,
      state: 'delivered',
      attempts: 1,
      lastStatus: 204,
      lastError: null,
    });
    await becomes(other, 'delivered');
    expect(hook.letters).toHaveLength(2);
    const letter = hook.letters.find(({ text }) => text.includes(id))!;
    expect(letter.path).toBe('/done?from=test');
    expect(letter.headers).toMatchObject({ 'content-type': 'application/json', 'user-agent': 'bullpen' });
    expect([isSigned(letter, secret), isSigned(letter, `${secret}x`)]).toEqual([true, false]);
    expect(letter.delivery).toMatch(/^[0-9a-f-]{36}$/);
    const { params: _params, webhook: _webhook, ...shown } = (await ask(app, `/v1/batches/${id}`)).body;
    expect(JSON.parse(letter.text)).toEqual(shown);
    expect(shown).toMatchObject({
      state: 'completed',
      counts: { succeeded: 3 },
      options: { webhook: { url: hook.url } },
    });
  });

  it('is tried again under the same id after refusals and silence, until it is taken', async () => {
    const hook = await receiver((n) => (n === 1 ? 500 : n === 2 ? 'never' : n === 3 ? 410 : 200));
    tell();
    const id = await make(hook.url);
    await work(app.database);
    expect(await becomes(id, 'delivered')).toMatchObject({ attempts: 4, lastStatus: 200, lastError: null });
    expect(hook.letters).toHaveLength(4);
    expect(new Set(hook.letters.map(({ delivery }) => delivery)).size).toBe(1);
    expect(new Set(hook.letters.map(({ text }) => text)).size).toBe(1);
    expect(hook.letters.every((letter) => isSigned(letter, secret))).toBe(true);
  });

  it('of another completion has another id', async () => {
    const hook = await receiver();
    tell();
    const id = await make(hook.url);
    await work(app.database, { fail: new Set([1]) });
    await becomes(id, 'delivered');
    expect((await ask(app, `/v1/batches/${id}/retry`, { method: 'POST' })).body.webhook).toMatchObject({
      state: 'waiting',
      attempts: 0,
      lastStatus: null,
    });
    await work(app.database);
    await becomes(id, 'delivered');
    expect(hook.letters.map(({ text }) => JSON.parse(text).counts.failed)).toEqual([1, 0]);
    expect(new Set(hook.letters.map(({ delivery }) => delivery)).size).toBe(2);
    // Nothing failed: it is no completion.
    await ask(app, `/v1/batches/${id}/retry`, { method: 'POST' });
    expect(await webhookOf(id)).toMatchObject({ state: 'delivered', attempts: 1 });
  });

  it('that is on its way when its batch is retried does not end the next one', async () => {
    let answer: (status: number) => void = () => undefined;
    const first = new Promise<number>((resolve) => (answer = resolve));
    const hook = await receiver((n) => (n === 1 ? first : 200));
    const before = tell({ limits: { timeoutMs: 10_000 } });
    const id = await make(hook.url);
    await work(app.database, { fail: new Set([1]) });
    await tries(hook, 1);
    await ask(app, `/v1/batches/${id}/retry`, { method: 'POST' });
    answer(200);
    await before.stop();
    expect(await webhookOf(id)).toMatchObject({ state: 'waiting', attempts: 0 });
    await work(app.database);
    tell();
    await becomes(id, 'delivered');
    expect(hook.letters.map(({ text }) => JSON.parse(text).counts.failed)).toEqual([1, 0]);
    expect(new Set(hook.letters.map(({ delivery }) => delivery)).size).toBe(2);
  });

  it('that nobody takes is given up in the end', async () => {
    const hook = await receiver(() => 503);
    tell({ limits: { patienceMs: 100 } });
    const id = await make(hook.url);
    await work(app.database);
    expect(await becomes(id, 'failed')).toMatchObject({ lastStatus: 503, lastError: 'it was answered 503' });
    const { length } = hook.letters;
    expect(length).toBeGreaterThan(1);
    const rows = await app.database.statements.takeTellings({ most: 10, busy: [], full: [], leaseMs: 1000 });
    expect(rows).toEqual([]);
  });

  it.each([301, 302, 307, 308])('follows no redirect: %i', async (status) => {
    const elsewhere = await receiver();
    const hook = await receiver((n) => (n === 1 ? [status, { location: elsewhere.url }] : 200));
    tell();
    const id = await make(hook.url);
    await work(app.database);
    await becomes(id, 'delivered');
    expect([hook.letters.length, elsewhere.letters.length]).toEqual([2, 0]);
  });

  it('is not told of a batch that was cancelled, nor of one that was deleted', async () => {
    const hook = await receiver();
    const cancelled = await make(hook.url);
    const deleted = await make(hook.url);
    await ask(app, `/v1/batches/${cancelled}/cancel`, { method: 'POST' });
    await work(app.database);
    await ask(app, `/v1/batches/${deleted}`, { method: 'DELETE' });
    tell();
    const told = await make(hook.url);
    await work(app.database);
    await becomes(told, 'delivered');
    expect(hook.letters).toHaveLength(1);
    expect(await webhookOf(cancelled)).toMatchObject({ state: 'cancelled', attempts: 0 });
    const [{ rows }] = (await app.database.db.execute(sql`
      select count(*)::int as rows from webhooks where batch not in (select no from batches)`)) as unknown as [
      { rows: number },
    ];
    expect(rows).toBe(0);
  });

  it('comes with a stream and with an open batch too', async () => {
    const hook = await receiver();
    tell();
    const options = Buffer.from(JSON.stringify({ options: { webhook: { url: hook.url, secret } } })).toString(
      'base64url',
    );
    const headers = { 'content-type': 'application/x-ndjson', 'bullpen-options': options };
    const stream = await ask(app, '/v1/batches?handler=echo', { method: 'POST', headers, body: '1\n2\n' });
    const open = await ask(app, '/v1/batches?handler=echo&open=true', { method: 'POST', headers, body: '1\n' });
    const skipped = await ask(app, '/v1/batches?handler=add&onInvalid=skip', { method: 'POST', headers, body: '1\n' });
    expect([stream, open, skipped].map(({ status }) => status)).toEqual([202, 202, 202]);
    await work(app.database);
    await becomes(stream.body.id, 'delivered');
    await becomes(skipped.body.id, 'delivered');
    expect(await webhookOf(open.body.id)).toMatchObject({ state: 'waiting', attempts: 0 });
    await ask(app, `/v1/batches/${open.body.id}/close`, { method: 'POST' });
    await becomes(open.body.id, 'delivered');
    expect(hook.letters).toHaveLength(3);
  });

  it('shows its secret to nobody', async () => {
    const hook = await receiver();
    tell();
    const id = await make(hook.url);
    await ask(app, `/v1/batches/${id}/pause`, { method: 'POST' });
    await ask(app, `/v1/batches/${id}/resume`, { method: 'POST' });
    await work(app.database);
    await becomes(id, 'delivered');
    for (const path of [
      '/v1/batches',
      `/v1/batches/${id}`,
      `/v1/batches/${id}/results`,
      `/v1/batches/${id}/events`,
      '/',
    ])
      expect((await ask(app, path)).text).not.toContain(secret);
    expect(hook.letters[0]!.text + JSON.stringify(hook.letters[0]!.headers)).not.toContain(secret);
    const tables = await app.database.db.execute<{ name: string }>(sql`
      select table_name as name from information_schema.tables where table_schema = 'bullpen' and table_type = 'BASE TABLE' and table_name <> 'webhooks'`);
    expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(['batches', 'audit', 'idempotency']));
    for (const { name } of tables) {
      const rows = await app.database.db.execute(sql`select to_json(t)::text as row from ${sql.identifier(name)} t`);
      expect(JSON.stringify(rows)).not.toContain(secret);
    }
    const refused = await post(app, { handler: 'echo', count: 1, options: { webhook: { url: 'ftp://x', secret } } });
    expect([refused.status, refused.text.includes(secret)]).toEqual([422, false]);
  });
});

describe('an address', () => {
  it('that is checked is the one that is connected to, and each try looks anew', async () => {
    const inside = await receiver(() => 200, '127.0.0.2');
    const hook = await receiver((n) => (n === 1 ? 500 : 200), '127.0.0.1', inside.port);
    const asked: string[] = [];
    // Another answer each time: to look twice for one try would send it inside.
    const answers = [['127.0.0.1'], ['127.0.0.1'], ['127.0.0.2']];
    tell({ resolve: (name) => (asked.push(name), Promise.resolve(answers[asked.length - 1] ?? ['127.0.0.2'])) });
    const id = await make(`http://localhost:${hook.port}/`);
    await work(app.database);
    await becomes(id, 'delivered');
    expect(asked).toEqual(['localhost', 'localhost']);
    expect([hook.letters.length, inside.letters.length]).toEqual([2, 0]);
  });

  it('that becomes one that must not be called is a failed try, and nothing is connected to', async () => {
    const hook = await receiver();
    let lookups = 0;
    tell({ resolve: () => Promise.resolve((lookups += 1) < 3 ? ['127.0.0.1', '169.254.169.254'] : ['127.0.0.1']) });
    const id = await make(`http://localhost:${hook.port}/`);
    await work(app.database);
    await eventually('a try has failed', async () => (await webhookOf(id)).lastError !== null);
    await becomes(id, 'delivered');
    expect([lookups, hook.letters.length]).toEqual([3, 1]);
  });

  it('is refused with a clear reason, also where the setting was taken back after it was submitted', async () => {
    const hook = await receiver();
    const id = await make(hook.url);
    const named = await make('https://receiver.example.org/');
    await work(app.database);
    tell({
      settings: { ...settings, webhookAllowPrivate: false },
      resolve: () => Promise.resolve(['10.0.0.1']),
      limits: { patienceMs: 0 },
    });
    expect(await becomes(id, 'failed')).toMatchObject({ lastStatus: null, lastError: 'the URL must be https' });
    expect(await becomes(named, 'failed')).toMatchObject({
      lastStatus: null,
      lastError: 'its name stands for an address that is not public',
    });
    expect(hook.letters).toHaveLength(0);
  });

  it('that is nowhere is told by its code', async () => {
    tell({
      resolve: () => Promise.reject(Object.assign(new Error('no 10.9.8.7'), { code: 'ENOTFOUND' })),
      limits: { patienceMs: 0 },
    });
    const id = await make('https://nowhere.example.org/');
    const gone = await receiver();
    await gone.close();
    const refused = await make(gone.url);
    await work(app.database);
    expect((await becomes(id, 'failed')).lastError).toBe('it could not be reached (ENOTFOUND)');
    expect((await becomes(refused, 'failed')).lastError).toBe('it could not be reached (ECONNREFUSED)');
  });
});

describe('a receiver', () => {
  const serve = async (server: Server): Promise<number> => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return (server.address() as AddressInfo).port;
  };

  it('whose certificate nobody has signed gets nothing', async () => {
    let requests = 0;
    const port = await serve(createTlsServer(selfSigned(), (_req, res) => void ((requests += 1), res.end())));
    tell({ limits: { patienceMs: 0 } });
    const id = await make(`https://127.0.0.1:${port}/`);
    await work(app.database);
    expect((await becomes(id, 'failed')).lastError).toBe('it could not be reached (DEPTH_ZERO_SELF_SIGNED_CERT)');
    expect(requests).toBe(0);
  });

  it('whose answer never ends has taken it, and is cut off', async () => {
    let sent = 0;
    let isCut = false;
    const port = await serve(
      createServer((req, res) => {
        req.resume();
        const more = (): void => {
          for (let goesOn = true; goesOn && !isCut; sent += 65_536) goesOn = res.write(Buffer.alloc(65_536));
        };
        res.on('drain', more).on('close', () => (isCut = true));
        res.writeHead(200);
        more();
      }),
    );
    tell();
    const id = await make(`http://127.0.0.1:${port}/`);
    await work(app.database);
    await becomes(id, 'delivered');
    await eventually('it is cut', () => isCut);
    expect(sent).toBeLessThan(16 * 1024 * 1024);
  });

  it('whose headers are endless, or whose name is never found, has failed', async () => {
    const port = await serve(createServer((_req, res) => void res.writeHead(200, { x: 'x'.repeat(20_000) }).end()));
    const tellings = tell({ resolve: () => new Promise(() => undefined), limits: { patienceMs: 0 } });
    const endless = await make(`http://127.0.0.1:${port}/`);
    const unfound = await make('https://never.example.org/');
    await work(app.database);
    expect((await becomes(endless, 'failed')).lastError).toMatch(/HEADERS_OVERFLOW|HPE_/);
    expect((await becomes(unfound, 'failed')).lastError).toBe('there was no answer within 400 ms');
    await tellings.stop();
  });
});

describe('tries', () => {
  it('of one owner leave half of all that may be under way to others, at the same hosts too', async () => {
    const silent = await Promise.all(
      Array.from({ length: 40 }, () => receiver((_, { text }) => (text.includes('"acme"') ? 200 : 'never'))),
    );
    for (const { url } of silent) await make(url);
    const other = await make(silent[0]!.url, { name: 'acme' });
    await work(app.database);
    await app.database.db.execute(sql`update batches set owner = 'acme', tell_at = now() where id = ${other}::uuid`);
    tell({ limits: { timeoutMs: 5000 } });
    await eventually(
      'the other one is told',
      async () => {
        const [row] = await app.database.db.execute<{ state: string }>(
          sql`select w.state from webhooks w join batches b on b.no = w.batch where b.id = ${other}::uuid`,
        );
        return row!.state === 'delivered';
      },
      3000,
    );
    // One that has 16 or more gets no others: one take is 16 at most.
    await sleep(1000);
    const begun = silent.reduce((sum, { letters }) => sum + letters.length, 0);
    expect(begun).toBeGreaterThan(8);
    expect(begun).toBeLessThanOrEqual(32);
    await Promise.all(silent.map((each) => each.close()));
  });

  it('to a receiver that is slow hold up nobody else', async () => {
    const slow = await receiver(() => 'never');
    const quick = await receiver();
    tell({ limits: { timeoutMs: 60_000 } });
    const first = await make(slow.url);
    for (let n = 0; n < 80; n += 1) await make(slow.url);
    await work(app.database);
    await tries(slow, 1);
    for (let n = 0; n < 20; n += 1) await make(quick.url);
    await work(app.database);
    await tries(quick, 20);
    expect(slow.letters.length).toBeLessThanOrEqual(8);
    expect(await webhookOf(first)).toMatchObject({ state: 'waiting' });
    await slow.close();
  });

  it("of two producers do not meet, and what one leaves behind is the other one's after its lease", async () => {
    const hook = await receiver();
    const id = await make(hook.url);
    await work(app.database);
    const { statements } = app.database;
    const take = () => statements.takeTellings({ most: 10, busy: [], full: [], leaseMs: 300 });
    const [one, two] = await Promise.all([take(), take()]);
    const [left] = [...one, ...two];
    expect([...one, ...two]).toMatchObject([{ id, attempts: 1 }]);
    tell();
    tell();
    expect(await becomes(id, 'delivered')).toMatchObject({ attempts: 2 });
    expect(hook.letters.map(({ delivery }) => delivery)).toEqual([left!.delivery]);
    const late = { no: left!.no, delivery: left!.delivery, status: 500, error: 'late', nextMs: 0, patienceMs: 1 };
    expect(await statements.tell({ ...late, delivered: false })).toBeNull();
    expect(await webhookOf(id)).toMatchObject({ state: 'delivered', lastStatus: 204 });
  });

  it('wait longer each time, at most an hour, with jitter', () => {
    expect([1, 2, 3].map((n) => waitMs(n, 1000, () => 1))).toEqual([1000, 2000, 4000]);
    expect([1, 12, 13, 500].map((n) => waitMs(n, 1000, () => 0))).toEqual([500, 1_024_000, 1_800_000, 1_800_000]);
    expect(waitMs(500, 1000, () => 1)).toBe(3_600_000);
  });
});
