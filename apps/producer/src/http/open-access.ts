import { type Access, createAccess, rowOfKey } from '@bullpen/access';
import type { Statements } from '@bullpen/db';
import type { Log, Settings } from '@bullpen/runtime';

/** The keys as they are at the start, with the one of BULLPEN_ADMIN_KEY; says who may ask. */
export async function openAccess(deps: {
  statements: Statements;
  settings: Pick<Settings, 'bullpenAdminKey' | 'allowedHosts'>;
  log: Log;
}): Promise<Access> {
  const { statements, settings, log } = deps;
  if (settings.bullpenAdminKey !== undefined) await ensureAdmin(settings.bullpenAdminKey, statements, log);
  const access = createAccess({ statements, hosts: settings.allowedHosts ?? null });
  await access.load();
  if (await access.isKeyless())
    log.info(
      'there are no keys: only this machine may ask. Make one: pnpm bullpen keys create --name ops --scopes admin (npm run bullpen -- keys …)',
    );
  return access;
}

/** A key of this id that is there stays as it is, also where it was revoked. */
async function ensureAdmin(key: string, statements: Statements, log: Log): Promise<void> {
  const row = rowOfKey(key);
  const named = {
    ...row,
    name: 'BULLPEN_ADMIN_KEY',
    owner: '',
    scopes: ['admin' as const],
    rate: null,
    expiresAt: null,
  };
  const known = (await statements.apiKeys()).find(({ id }) => id === row.id);
  if (known === undefined) await statements.createApiKey(named, 'BULLPEN_ADMIN_KEY');
  else if (known.hash !== row.hash)
    log.warn({ id: row.id }, 'BULLPEN_ADMIN_KEY is not the key of this id that there is: give it another id');
  else if (known.revokedAt !== null)
    log.warn({ id: row.id }, 'BULLPEN_ADMIN_KEY was revoked: give it another id, or unset it');
}
