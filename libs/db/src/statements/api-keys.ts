import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { names } from '../bind.ts';
import { apiKeys } from '../schema.ts';
import { audited, type Who } from './audit.ts';

/** A key as it is kept; the secret is in nobody's hands but its holder's. */
export type ApiKeyRow = typeof apiKeys.$inferSelect;
export type NewApiKey = Omit<ApiKeyRow, 'createdAt' | 'revokedAt'>;

/** Those by which keys can still be made and revoked, locked: of two who take away the last two, the second finds one. */
const admins = (db: Database) =>
  db.$with('admins', {}).as(sql`
    select id, expires_at from api_keys where 'admin' = any(scopes) and revoked_at is null and (expires_at is null or expires_at > clock_timestamp())
    order by id for update`);

const durable = sql`set_config('synchronous_commit', 'on', true)`;

/**
 * Create a key, and its owner a place in the fair order. False, and nothing is stored: the first one has to be an admin's without an end, or nobody could
 * make another.
 *
 * Repeatable: the id is made before the first try.
 */
export function prepareCreateApiKey(db: Database) {
  const id = sql`${sql.placeholder('id')}::text`;
  const owner = sql`${sql.placeholder('owner')}::text`;
  const scopes = sql`${sql.placeholder('scopes')}::text[]`;
  const may = db
    .$with('may', {})
    .as(
      sql`select 1 where ('admin' = any(${scopes}) and ${sql.placeholder('expiresAt')}::timestamptz is null) or exists (select from admins)`,
    );
  const changed = db.$with('changed', {}).as(sql`
    insert into api_keys (id, hash, name, owner, scopes, rate, expires_at)
    select ${id}, ${sql.placeholder('hash')}::text, ${sql.placeholder('name')}::text, ${owner}, ${scopes}, ${sql.placeholder('rate')}::int,
      ${sql.placeholder('expiresAt')}::timestamptz from may
    on conflict (id) do nothing returning id`);
  const owned = db.$with('owned', {}).as(sql`
    insert into owners (owner) select ${owner} from may on conflict (owner) do nothing`);
  const detail = sql`select ${id} as target from may`;
  const query = db
    .with(admins(db), may, changed, owned, audited(db, 'create-key', { from: detail, hasDetail: true }))
    .select({ made: sql<boolean>`exists (select from may)`, durable })
    .from(sql`(select 1) one`)
    .prepare('create_api_key');
  return async (key: NewApiKey, who: Who = null): Promise<boolean> => {
    const { name, owner, scopes, rate } = key;
    const expiresAt = key.expiresAt?.toISOString() ?? null;
    const detail = JSON.stringify({ name, owner, scopes, rate, expiresAt });
    const [row] = await query.execute({ ...key, expiresAt, scopes: names(scopes), who, detail });
    return row!.made;
  };
}

/**
 * Revoke a key. False, and nothing changes: it is an admin's, and no other admin's stays that has no end.
 *
 * Repeatable: it sets what should be so.
 */
export function prepareRevokeApiKey(db: Database) {
  const id = sql`${sql.placeholder('id')}::text`;
  const may = db.$with('may', {}).as(sql`
    select 1 where not exists (select from admins where id = ${id}) or exists (select from admins where id <> ${id} and expires_at is null)`);
  const changed = db.$with('changed', {}).as(sql`
    update api_keys set revoked_at = clock_timestamp() where id = ${id} and revoked_at is null and exists (select from may) returning id`);
  const asked = audited(db, 'revoke-key', { from: sql`select id as target from api_keys, may where id = ${id}` });
  const query = db
    .with(admins(db), may, changed, asked)
    .select({ may: sql<boolean>`exists (select from may)`, durable })
    .from(sql`(select 1) one`)
    .prepare('revoke_api_key');
  return async (id: string, who: Who = null): Promise<boolean> => (await query.execute({ id, who }))[0]!.may;
}

/** API keys: all there ever were, the oldest first. A read. */
export function prepareApiKeys(db: Database) {
  const query = db.select().from(apiKeys).orderBy(apiKeys.createdAt, apiKeys.id).prepare('api_keys');
  return (): Promise<ApiKeyRow[]> => query.execute();
}
