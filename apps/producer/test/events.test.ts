import { type BatchEvent, eventSchemas } from '@bullpen/api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SilentDatabase } from '../src/http/deadline.ts';
import { ask, openApp, type TestApp, work } from './http-app.ts';

let app: TestApp;
beforeAll(async () => void (app = await openApp()));
afterAll(() => app.close());

/** The next event that fits. */
async function next(events: AsyncGenerator<BatchEvent>, fits: (event: BatchEvent) => boolean): Promise<BatchEvent> {
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error('the events ended');
    eventSchemas[value.event].parse(value);
    if (fits(value)) return value;
  }
}
const isProgress = (succeeded: number) => (event: BatchEvent) =>
  event.event === 'progress' && event.counts.succeeded === succeeded;
const eventsOf = (id: string, lastEventId?: string, other = app) =>
  ask(
    other,
    `/v1/batches/${id}/events`,
    lastEventId === undefined ? {} : { headers: { 'last-event-id': lastEventId } },
  );
const kindsIn = (text: string): string[] => [...text.matchAll(/^event: (.*)$/gm)].map(([, kind]) => kind!);
const idsIn = (text: string): string[] => [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id!);

describe('events of a batch', () => {
  test('tell its state first, its progress as it changes, and end with both', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: 8, options: { chunkSize: 4 } });
    const events = app.client.events(id);
    expect((await events.next()).value).toMatchObject({ event: 'state', state: 'running', stateReason: null });
    const counts = { total: 8, pending: 8, running: 0, succeeded: 0, failed: 0, cancelled: 0 };
    expect((await events.next()).value).toMatchObject({
      event: 'progress',
      state: 'running',
      counts,
      etaSeconds: null,
    });
    await work(app.database, { chunks: 1 });
    expect(await next(events, isProgress(4))).toMatchObject({ state: 'running', counts: { pending: 4 } });
    const { no } = (await app.database.statements.counts(id))!;
    await app.database.statements.pause(no);
    expect(await next(events, ({ event }) => event === 'state')).toMatchObject({
      state: 'paused',
      stateReason: 'user',
    });
    await app.database.statements.resume(no);
    await next(events, ({ event, state }) => event === 'state' && state === 'running');
    await work(app.database);
    expect(await next(events, isProgress(8))).toMatchObject({ state: 'completed', counts: { pending: 0 } });
    expect((await events.next()).value).toMatchObject({ event: 'state', state: 'completed' });
    expect(await events.next()).toEqual({ value: undefined, done: true });
  });

  test('that were seen are not sent again: each id leads to what came after it', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: 4 });
    await work(app.database);
    const all = await eventsOf(id);
    expect(all.headers).toMatchObject({ 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
    expect(kindsIn(all.text)).toEqual(['progress', 'state']);
    const [afterProgress, afterBoth] = idsIn(all.text) as [string, string];
    const rest = await eventsOf(id, afterProgress);
    expect(kindsIn(rest.text)).toEqual(['state']);
    expect(idsIn(rest.text)).toEqual([afterBoth]);
    expect(await eventsOf(id, afterBoth)).toMatchObject({ status: 204, text: '' });
    expect(kindsIn((await eventsOf(id, 'of nothing we know')).text)).toEqual(['progress', 'state']);
  });

  test('of a running batch go on after what was seen', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: 8, options: { chunkSize: 4 } });
    const first = app.client.events(id);
    const seen = await next(first, isProgress(0));
    await first.return(undefined);
    const second = app.client.events(id, { lastEventId: seen.id });
    // What comes is new; on a slow machine it is also told that they run.
    const isNew = (event: BatchEvent): boolean => {
      expect(event.id).not.toBe(seen.id);
      return isProgress(4)(event);
    };
    const coming = next(second, isNew);
    await work(app.database, { chunks: 1 });
    await coming;
    await work(app.database);
    const rest: string[] = [];
    for await (const { event } of second) rest.push(event);
    expect(rest.length).toBeLessThanOrEqual(3);
    expect([...new Set(rest)]).toEqual(['progress', 'state']);
  });

  test('of a cancelled batch end when no worker has anything of it any more', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: 4 });
    await work(app.database, { hold: true });
    const { no } = (await app.database.statements.counts(id))!;
    await app.database.statements.cancel(no);
    const events = app.client.events(id);
    expect((await events.next()).value).toMatchObject({ event: 'state', state: 'cancelled' });
    expect((await events.next()).value).toMatchObject({ event: 'progress', counts: { running: 4, cancelled: 0 } });
    await app.database.client`update bullpen.chunks set state = 'done' where batch = ${no}`;
    expect((await events.next()).value).toMatchObject({ event: 'progress', counts: { running: 0, cancelled: 4 } });
    expect((await events.next()).done).toBe(true);
  });

  test('are read once for all who follow, and not at all when nobody does', async () => {
    let reads = 0;
    const database = app.database;
    const progress: typeof database.statements.progress = (ids) => {
      reads += 1;
      return database.statements.progress(ids);
    };
    const other = await openApp({ statements: { ...database.statements, progress } });
    try {
      const { id } = await app.client.submit({ handler: 'echo', count: 4 });
      const followers = Array.from({ length: 30 }, () => other.client.events(id));
      await Promise.all(followers.map((each) => next(each, isProgress(0))));
      const before = reads;
      const heard = Promise.all(followers.map((each) => next(each, isProgress(4))));
      await work(database);
      await heard;
      expect(reads - before).toBeLessThan(10);
      for (const each of followers) expect((await each.next()).value).toMatchObject({ event: 'state' });
      for (const each of followers) expect((await each.next()).done).toBe(true);
      const ended = reads;
      // Whoever still looked would look twice within this time.
      await new Promise((resolve) => setTimeout(resolve, 1200));
      expect(reads - ended).toBeLessThanOrEqual(1);
    } finally {
      await other.close();
    }
  });

  test('are bounded, and end when the process stops', async () => {
    const stopping = new AbortController();
    const other = await openApp({ limits: { followersMax: 1 }, stopping: stopping.signal });
    try {
      const { id } = await other.client.submit({ handler: 'echo', count: 4 });
      const first = await fetch(`${other.url}/v1/batches/${id}/events`);
      const refused = await eventsOf(id, undefined, other);
      expect(refused).toMatchObject({ status: 503, body: { type: '/problems/busy' }, headers: { 'retry-after': '5' } });
      expect((await ask(other, `/v1/batches/${id}/events`, { method: 'HEAD' })).status).toBe(200);
      stopping.abort();
      expect(kindsIn(await first.text())).toEqual(['state', 'progress']);
      expect(await eventsOf(id, undefined, other)).toMatchObject({
        status: 503,
        body: { type: '/problems/unavailable' },
      });
    } finally {
      await other.close();
    }
  });

  test('go on after the database was away for a moment', async () => {
    const other = await openApp();
    try {
      const { id } = await other.client.submit({ handler: 'echo', count: 4 });
      const events = other.client.events(id);
      await next(events, isProgress(0));
      await other.database.refuse(true);
      const coming = next(events, isProgress(4));
      await new Promise((resolve) => setTimeout(resolve, 700));
      await other.database.refuse(false);
      await work(other.database);
      expect(await coming).toMatchObject({ state: 'completed' });
    } finally {
      await other.close();
    }
  });

  test('end when it is away for long, and a client that comes back goes on', async () => {
    let away = false;
    const database = app.database;
    const progress: typeof database.statements.progress = (ids) =>
      away ? Promise.reject(new SilentDatabase('away')) : database.statements.progress(ids);
    const other = await openApp({ statements: { ...database.statements, progress }, limits: { troubleMs: 1 } });
    try {
      const { id } = await app.client.submit({ handler: 'echo', count: 4 });
      const ended = eventsOf(id, undefined, other);
      const events = other.client.events(id);
      await next(events, isProgress(0));
      away = true;
      const coming = next(events, isProgress(4));
      expect(kindsIn((await ended).text)).toEqual(['state', 'progress']);
      away = false;
      await work(database);
      expect(await coming).toMatchObject({ state: 'completed' });
    } finally {
      await other.close();
    }
  });

  test('keep proxies awake with a comment', async () => {
    const other = await openApp({ limits: { silenceMs: 1 } });
    try {
      const { id } = await other.client.submit({ handler: 'echo', count: 4 });
      const answer = eventsOf(id, undefined, other);
      await new Promise((resolve) => setTimeout(resolve, 1200));
      await work(other.database);
      expect((await answer).text).toContain('\n\n: still there\n\n');
    } finally {
      await other.close();
    }
  });

  test('that cannot be had are refused', async () => {
    const { id } = await app.client.submit({ handler: 'echo', count: 4 });
    const path = `/v1/batches/${id}/events`;
    const head = await ask(app, path, { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, text: '', headers: { 'content-type': 'text/event-stream' } });
    expect((await ask(app, path, { method: 'POST' })).headers['allow']).toBe('GET, HEAD');
    expect((await ask(app, path, { headers: { accept: 'application/json' } })).status).toBe(406);
    expect((await ask(app, `${path}?x=1`)).body.errors).toEqual([{ pointer: '?x', message: expect.any(String) }]);
    expect((await eventsOf(id.replace(/^.{8}/, '00000000'))).status).toBe(404);
    await work(app.database);
  });
});
