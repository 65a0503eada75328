import { postgresPlace } from '@bullpen/runtime';
import { ok, warn, type Finding } from './finding.ts';

/** How the way to PostgreSQL is protected, as DATABASE_URL says. Whether that is enough depends on the network, which we do not know. */
export function judgePostgresTls(databaseUrl: string): Finding {
  const check = 'postgres tls';
  switch (postgresPlace(databaseUrl).mode) {
    case 'disable':
      return ok(check, 'off, as DATABASE_URL says: what passes can be read on the way');
    case 'no-verify':
      return warn(check, 'not verified: whoever is in between can read and change all', 'set sslmode=verify-full');
    case 'verify-ca':
      return ok(check, 'its certificate is verified, by any name');
    case 'require':
    case 'verify-full':
      return ok(check, 'its certificate and name are verified');
  }
}

export const judgeRedisTls = (redisUrl: string): Finding =>
  new URL(redisUrl).protocol === 'rediss:'
    ? ok('redis tls', 'its certificate and name are verified')
    : ok('redis tls', 'off, as REDIS_URL says: what passes can be read on the way');
