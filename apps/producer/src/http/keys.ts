import { type Access, makeKey, rowOfKey } from '@bullpen/access';
import { type CreatedKey, type KeyAnswer, newKeySchema } from '@bullpen/api';
import type { ApiKeyRow } from '@bullpen/db';
import type { BodyReader } from '../intake/body.ts';
import { callerOf } from './access.ts';
import { sendJson } from './answer.ts';
import type { HttpDeps } from './deps.ts';
import { HttpProblem } from './problem.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';
import { readNothing, readSmall } from './small-body.ts';

type KeyDeps = Pick<HttpDeps, 'statements'> & { access: Pick<Access, 'forget'> };

const what = 'name, scopes, owner, requestsPerSecond and expiresAt';

/** `GET /v1/keys`: all there ever were, the oldest first. */
export function listKeys({ statements }: Pick<HttpDeps, 'statements'>): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    sendJson(res, { items: (await statements.apiKeys()).map(toKey) });
  };
}

/** `POST /v1/keys`: the key itself is in this answer and nowhere else. */
export function createKey({ statements, access }: KeyDeps, withBody: BodyReader): Route {
  return async (req, res) => {
    if (req.headers['idempotency-key'] !== undefined)
      throw new HttpProblem('invalid', 'A key is shown once, so that nothing could be answered again', {
        errors: [{ message: 'Idempotency-Key is not taken here: revoke the key whose answer was lost' }],
      });
    const created = await readSmall(req, withBody, newKeySchema, what, async (body): Promise<CreatedKey | null> => {
      const { key } = makeKey();
      const { name, scopes, owner, requestsPerSecond: rate } = body;
      const expiresAt = body.expiresAt === null ? null : new Date(body.expiresAt);
      const row = { ...rowOfKey(key), name, scopes, owner: owner ?? '', rate, expiresAt };
      const made = await statements.createApiKey(row, callerOf(req).who);
      return made ? { ...toKey({ ...row, createdAt: new Date(), revokedAt: null }), key } : null;
    });
    if (created === undefined) return;
    if (created === null)
      throw new HttpProblem(
        'invalid-state',
        'The first key has to have the scope admin, and no end: from then on nobody may ask without a key, or make another',
      );
    access.forget();
    sendJson(res, created, 201);
  };
}

/** `DELETE /v1/keys/{id}`: refused from now on, for good. Again it is 204. */
export function revokeKey({ statements, access }: KeyDeps, withBody: BodyReader): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    if (!(await readNothing(req, withBody))) return;
    const id = String(req.params['id']);
    const row = (await statements.apiKeys()).find((key) => key.id === id);
    if (row === undefined) throw new HttpProblem('not-found', 'There is no such key');
    if (!(await statements.revokeApiKey(id, callerOf(req).who)))
      throw new HttpProblem(
        'invalid-state',
        'It is the last key with the scope admin that has no end: make another one first',
      );
    access.forget();
    res.statusCode = 204;
    res.end();
  };
}

const toKey = ({ id, name, owner, scopes, rate, createdAt, expiresAt, revokedAt }: ApiKeyRow): KeyAnswer => ({
  id,
  name,
  owner: owner === '' ? null : owner,
  scopes,
  requestsPerSecond: rate,
  createdAt: createdAt.toISOString(),
  expiresAt: expiresAt?.toISOString() ?? null,
  revokedAt: revokedAt?.toISOString() ?? null,
});
