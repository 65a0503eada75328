import type { ApiKeyRow } from '@bullpen/db';
import { itemsText } from '../text/numbers.ts';
import { bad, ok, warn, type Finding } from './finding.ts';

const soonMs = 7 * 86_400_000;

/** Whether anybody can make a key, and which end soon. */
export function judgeKeys(keys: readonly ApiKeyRow[], nowMs: number): Finding[] {
  if (keys.length === 0) return [ok('keys', 'there are none: only this machine may ask')];
  const holding = keys.filter(({ revokedAt, expiresAt }) => revokedAt === null && leftMs(expiresAt, nowMs) > 0);
  const admins = holding.filter(({ scopes }) => scopes.includes('admin'));
  const ending = holding.filter(({ expiresAt }) => leftMs(expiresAt, nowMs) < soonMs);
  return [
    admins.length === 0
      ? bad(
          'keys',
          'none with the scope admin holds: nobody can make another',
          'BULLPEN_ADMIN_KEY=bp_again_$(openssl rand -hex 24) npm start',
        )
      : ok('keys', `${itemsText(holding.length, 'key holds', 'keys hold')}, ${admins.length} with the scope admin`),
    ...ending.map(({ name, id, expiresAt }) =>
      warn('keys', `"${name}" (${id}) ends at ${expiresAt!.toISOString()}`, `pnpm bullpen keys create --help`),
    ),
  ];
}

const leftMs = (expiresAt: Date | null, nowMs: number): number =>
  expiresAt === null ? Infinity : expiresAt.getTime() - nowMs;
