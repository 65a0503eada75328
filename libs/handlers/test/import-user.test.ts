import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Fail, Retry, runHandler, summarize } from '@bullpen/handlers';
import { describe, expect, it, onTestFinished } from 'vitest';
import importUser from '../src/import-user.ts';

type Answer = (req: IncomingMessage, res: ServerResponse) => void;

/** An API that answers one path as it is told, and everything else as all is well. Answers its URL and what was asked. */
async function apiOf(odd: Record<string, Answer> = {}) {
  const asked: string[] = [];
  const keys: unknown[] = [];
  const server = createServer((req, res) => {
    const route = `${req.method} ${req.url}`;
    asked.push(route);
    keys.push(req.headers['idempotency-key']);
    const answer = odd[route];
    if (answer !== undefined) answer(req, res);
    else res.end(req.url!.includes('?limit') ? '[{"id":7,"name":"Known Ltd"}]' : '{"id":"x1"}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { api: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v2/`, asked, keys };
}

const user = { email: 'ada@example.org', name: 'Ada', organisation: 'Owls & Co' };
const says =
  (status: number, body: string, headers: Record<string, string> = {}): Answer =>
  (_, res) =>
    void res.writeHead(status, headers).end(body);
const users = 'POST /v2/users';

describe('import-user', () => {
  it('asks for the organisation that it does not know, creates the user, adds it: each with a key of its own', async () => {
    const { api, asked, keys } = await apiOf();
    const known = { ...user, organisation: 'Known Ltd' };
    const outputs = await runHandler(importUser, [user, known], { params: { api } });
    expect(outputs).toEqual([
      { userId: 'x1', organisationId: 'x1', cached: false },
      { userId: 'x1', organisationId: '7', cached: true },
    ]);
    expect(asked).toEqual([
      'GET /v2/organisations?limit=10000',
      'GET /v2/organisations/Owls%20%26%20Co',
      users,
      'POST /v2/organisations/x1/members',
      users,
      'POST /v2/organisations/7/members',
    ]);
    const posted = keys.filter((key) => key !== undefined);
    expect(new Set(posted).size).toBe(4);
    expect(posted[0]).toMatch(/:0$/);
    expect(summarize(importUser, outputs, { params: { api } })).toEqual({
      users: 2,
      cacheHits: 1,
      cacheMisses: 1,
      hitRate: 0.5,
    });
  });

  it('says in a dry run what it would call, and calls nobody', async () => {
    const { api, asked } = await apiOf();
    const outputs = await runHandler(importUser, [user], { params: { api }, dryRun: true });
    const path = '/organisations/Owls%20%26%20Co';
    expect(outputs).toEqual([{ would: [`GET ${path}, unless it is known`, 'POST /users', `POST ${path}/members`] }]);
    expect(summarize(importUser, outputs, { params: { api } })).toEqual({ users: 1, calls: { least: 2, most: 3 } });
    expect(asked).toEqual([]);
  });

  it.each([
    [429, { 'retry-after': '7' }, 7000],
    [503, { 'retry-after': '2' }, 2000],
    [503, {}, 1000],
  ])('has all wait where the API answers %i with %j', async (status, headers, afterMs) => {
    const { api } = await apiOf({ [users]: says(status, '', headers) });
    const error: unknown = await runHandler(importUser, [user], { params: { api } }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(Retry);
    expect(error).toMatchObject({ afterMs, forAll: true, message: `POST /users was answered ${status}` });
  });

  it.each([
    ['{"code": "email-blocked", "message": "is blocked"}', 'email-blocked', 'POST /users was answered 422: is blocked'],
    ['no JSON', 'http-422', 'POST /users was answered 422'],
  ])('fails the user where the API refuses it, with its code: %s', async (body, code, message) => {
    const { api } = await apiOf({ [users]: says(422, body) });
    const error: unknown = await runHandler(importUser, [user], { params: { api } }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(Fail);
    expect(error).toMatchObject({ code, message });
  });

  it.each([
    ['answers 500', says(500, '{"message": "out of order"}'), /^POST \/users was answered 500: out of order$/],
    ['answers what is no user', says(200, '{"user": 1}'), /id/],
    ['hangs up', ((_, res) => void res.destroy()) satisfies Answer, /other side closed/],
  ])('is tried again where the API %s', async (_, answer, message) => {
    const { api } = await apiOf({ [users]: answer });
    const error: unknown = await runHandler(importUser, [user], { params: { api } }).catch((error: unknown) => error);
    expect(error).not.toBeInstanceOf(Fail);
    expect(error).not.toBeInstanceOf(Retry);
    expect((error as Error).message).toMatch(message);
  });

  it('goes on without the organisations that it could not get before the first user', async () => {
    const { api } = await apiOf({ 'GET /v2/organisations?limit=10000': says(500, '') });
    const outputs = await runHandler(importUser, [{ ...user, organisation: 'Known Ltd' }], { params: { api } });
    expect(outputs).toEqual([{ userId: 'x1', organisationId: 'x1', cached: false }]);
  });

  it.each([
    [{ ...user, email: 'ada@' }, /is no email address/],
    [{ ...user, name: ' ' }, /must not be empty/],
    [{ email: user.email, name: 'Ada' }, /organisation/],
  ])('refuses %j', async (input, message) => {
    await expect(runHandler(importUser, [input], { params: { api: 'http://127.0.0.1:9' } })).rejects.toThrow(message);
  });
});
