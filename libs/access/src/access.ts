import type { ProblemSlug, RouteSpec, Scope } from '@bullpen/api';
import type { ApiKeyRow, Statements } from '@bullpen/db';
import { keyIn } from './key.ts';
import { createKeyring } from './keyring.ts';
import { type Asked, hostName, isForeign, isLoopbackName, whyNotLocal } from './loopback.ts';

export type { Asked } from './loopback.ts';

/** Who asks, and may. */
export interface Caller {
  /** Whose batches it sees; '' without keys, and for keys without an owner. */
  owner: string;
  /** For the audit: name and id of its key; null without keys. */
  who: string | null;
  /** Id of its key. */
  keyId: string | null;
  /** Requests a second; null: any number. */
  rate: number | null;
  scopes: readonly Scope[];
}

/** Why somebody may not ask. */
export interface Refused {
  slug: Extract<ProblemSlug, 'unauthorized' | 'forbidden' | 'unknown-host'>;
  detail: string;
}

export interface AccessOptions {
  statements: Pick<Statements, 'apiKeys'>;
  /** Names in Host that are answered beside those of this machine; null: any, once there are keys. */
  hosts: readonly string[] | null;
}

const everyScope: readonly Scope[] = ['submit', 'read', 'control', 'admin'];
/** Without keys everybody of this machine may do everything. */
const local: Caller = { owner: '', who: null, keyId: null, rate: null, scopes: everyScope };

export type Access = ReturnType<typeof createAccess>;

/** Who may ask: by a key, or, as long as there never was one, by the rule for this machine. */
export function createAccess({ statements, hosts }: AccessOptions) {
  const keyring = createKeyring(statements);
  return {
    /** To be called before anybody asks. */
    load: () => keyring.load(),

    /** Whether there never was a key. */
    isKeyless: () => keyring.isEmpty(),

    /** Who asks. `fromBrowser`: a page is asked for, so that the key may come as the password of a browser. */
    async caller(asked: Asked, fromBrowser: boolean): Promise<Caller | Refused> {
      if (await keyring.isEmpty()) return localOrRefused(asked);
      const host = hostName(asked.headers.host);
      if (hosts !== null && !hosts.includes(host) && !isLoopbackName(host))
        return { slug: 'unknown-host', detail: `The Host ${JSON.stringify(host)} is none of ALLOWED_HOSTS` };
      return withKey(asked, fromBrowser);
    },

    /** Whether a key that was let in, by its id, still holds. */
    holds: (keyId: string) => keyring.holds(keyId),

    /** What this process has just changed of the keys holds at once. */
    forget: () => keyring.forget(),
  };

  async function withKey({ headers }: Asked, fromBrowser: boolean): Promise<Caller | Refused> {
    const key = keyIn(headers.authorization, fromBrowser && !isForeign(headers.origin, headers.host));
    if (key === null)
      return { slug: 'unauthorized', detail: 'A key is needed: send the header Authorization: Bearer bp_…' };
    const row = await keyring.find(key);
    return row === null
      ? { slug: 'unauthorized', detail: 'The key is not known, is revoked, or has expired' }
      : callerOf(row);
  }
}

const localOrRefused = (asked: Asked): Caller | Refused => {
  const detail = whyNotLocal(asked);
  return detail === null ? local : { slug: 'unauthorized', detail };
};

const callerOf = ({ id, name, owner, rate, scopes }: ApiKeyRow): Caller => ({
  owner,
  who: `${name} (${id})`,
  keyId: id,
  rate,
  scopes: scopes.includes('admin') ? everyScope : scopes,
});

const forBrowsers = 'Basic realm="Bullpen: the key is the password", charset="UTF-8"';

/** `WWW-Authenticate` of a 401: how a key may come. */
export const challenge = (hasKeys: boolean, fromBrowser: boolean): string =>
  hasKeys && fromBrowser ? `Bearer, ${forBrowsers}` : 'Bearer';

/** Why a caller may not do what needs this; null: it may. */
export function whyForbidden({ scopes }: Caller, needs: RouteSpec['needs']): Refused | null {
  if (needs === 'key' || needs === 'nothing' || scopes.includes(needs)) return null;
  return {
    slug: 'forbidden',
    detail: `The key needs the scope ${needs}; it has ${scopes.length === 0 ? 'none' : scopes.join(', ')}`,
  };
}
