import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { type ConnectionOptions, checkServerIdentity } from 'node:tls';
import { Refusal } from '../lifecycle.ts';

/**
 * What `sslmode` asks for, in libpq's words. `require` is as strict here as `verify-full`: that it does not verify in libpq is what nobody
 * expects of it. What may fall back to plain text (`allow`, `prefer`) is refused, since whoever is in between decides it then.
 *
 * | sslmode | encrypted | signed by a known CA | for this name |
 * |---|---|---|---|
 * | none, `disable` | no | | |
 * | `require`, `verify-full` | yes | yes | yes |
 * | `verify-ca`, with `sslrootcert` only | yes | yes | no |
 * | `no-verify`, node-postgres' word | yes | no | no |
 */
const modes = ['disable', 'require', 'verify-ca', 'verify-full', 'no-verify'] as const;
type Mode = (typeof modes)[number];

export interface PostgresPlace {
  /** The URL without the words that are meant for us: the drivers read them otherwise, each in its own way. */
  url: string;
  mode: Mode;
  /** For tls.connect, of both drivers; false: plain text. */
  ssl: false | ConnectionOptions;
}

/** Where PostgreSQL is, and what protects the way there. Throws a Refusal when DATABASE_URL asks for what cannot be done. */
export function postgresPlace(databaseUrl: string): PostgresPlace {
  const url = new URL(databaseUrl);
  const mode = modeOf(url.searchParams);
  const file = url.searchParams.get('sslrootcert');
  refuseOthers(url.searchParams, mode);
  if (file !== null && mode === 'disable') refuse('sslrootcert does nothing without sslmode: add sslmode=verify-full');
  if (mode === 'verify-ca' && (file === null || file === 'system'))
    refuse('sslmode=verify-ca needs sslrootcert=<file>, or any certificate would do: name the CA, or use verify-full');
  for (const word of ['sslmode', 'sslrootcert', 'channel_binding']) url.searchParams.delete(word);
  if (mode === 'disable') return { url: url.href, mode, ssl: false };
  return { url: url.href, mode, ssl: { ...optionsOf(mode, url), ...(file === null ? {} : authorityOf(file)) } };
}

function optionsOf(mode: Mode, { hostname }: URL): ConnectionOptions {
  const host = hostname.replace(/^\[|\]$/g, '');
  return {
    // Without it postgres.js has a certificate for `localhost` checked wherever the URL has an address.
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    // Said in any case, so that NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing.
    rejectUnauthorized: mode !== 'no-verify',
    checkServerIdentity: mode === 'verify-ca' ? () => undefined : checkServerIdentity,
  };
}

function modeOf(words: URLSearchParams): Mode {
  const word = words.get('sslmode') ?? 'disable';
  const mode = modes.find((each) => each === word);
  if (mode !== undefined) return mode;
  const why = /^(allow|prefer)$/.test(word) ? `${word} may fall back to plain text` : `there is no ${word}`;
  return refuse(`sslmode must be one of ${modes.join(', ')} (${why}): use verify-full`);
}

/** Words for TLS that would be passed over, or that only one of the drivers knows. */
function refuseOthers(words: URLSearchParams, mode: Mode): void {
  const other = [...words.keys()].find((word) => /^ssl(?!mode$|rootcert$)/.test(word));
  if (other !== undefined) refuse(`${other} is not known: use sslmode and sslrootcert`);
  // It binds a login to the certificate. Where that is verified by its name nobody else can pass the login on.
  if (words.get('channel_binding') === 'require' && mode !== 'require' && mode !== 'verify-full')
    refuse('channel_binding=require needs sslmode=verify-full: add it, or take channel_binding out');
}

/** The certificates of a file, and no others. `system`, as in libpq: those that Node knows. */
function authorityOf(file: string): { ca?: string } {
  if (file === 'system') return {};
  let ca: string;
  try {
    ca = readFileSync(file, 'utf8');
  } catch (error) {
    return refuse(
      `sslrootcert ${file} cannot be read (${(error as NodeJS.ErrnoException).code}): check its path and rights`,
    );
  }
  try {
    void new X509Certificate(ca);
  } catch {
    refuse(`sslrootcert ${file} holds no certificate: it must be PEM, with -----BEGIN CERTIFICATE-----`);
  }
  return { ca };
}

function refuse(problem: string): never {
  throw new Refusal(`DATABASE_URL: ${problem}`);
}
