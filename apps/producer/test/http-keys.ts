import { makeKey, rowOfKey } from '@bullpen/access';
import type { Scope } from '@bullpen/api';
import { eventually } from '@bullpen/testkit';
import { ask, type TestApp } from './http-app.ts';

export interface TestKey {
  id: string;
  key: string;
  /** As a request sends it. */
  headers: { authorization: string };
}

/** A key of the app, once it holds. */
export async function keyFor(
  app: TestApp,
  scopes: Scope[],
  more: { owner?: string; rate?: number; expiresAt?: Date } = {},
): Promise<TestKey> {
  const { key } = makeKey();
  const { id, hash } = rowOfKey(key);
  const { owner = '', rate = null, expiresAt = null } = more;
  const row = { id, hash, name: `${scopes.join(' ')} of ${owner}`, owner, scopes, rate, expiresAt };
  if (!(await app.database.statements.createApiKey(row))) throw new Error('the first key has to be an admin');
  const headers = { authorization: `Bearer ${key}` };
  if (expiresAt === null)
    await eventually('the key holds', async () => (await ask(app, '/v1/handlers', { headers })).status !== 401);
  return { id, key, headers };
}
