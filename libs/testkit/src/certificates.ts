import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';
import { around, bits, inPlace, integer, octets, oid, sequence, set, text, time, yes } from './der.ts';

/** A certificate and its key, as PEM. */
export interface Certificate {
  cert: string;
  key: string;
}

interface CertificateOptions {
  /** Names and addresses of the server. */
  names?: readonly string[];
  /** Days from now; negative: ago. */
  from?: number;
  until?: number;
}

/** A CA of its own, which nobody knows: its certificate, and what it signs. */
export interface Authority {
  cert: string;
  issue: (options?: CertificateOptions) => Certificate;
}

const dayMs = 86_400_000;
const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'));
const nameOf = (words: string): Buffer => sequence(set(sequence(oid('2.5.4.3'), text(words))));
const pem = (kind: string, der: Buffer): string =>
  `-----BEGIN ${kind}-----\n${der.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END ${kind}-----\n`;

interface Signed {
  issuer: { name: string; key: KeyObject };
  subject: { name: string; key: KeyObject };
  isAuthority: boolean;
  options: CertificateOptions;
}

function certificateOf({ issuer, subject, isAuthority, options }: Signed): string {
  const { names = [], from = -1, until = 30 } = options;
  const at = (days: number): Buffer => time(new Date(Date.now() + days * dayMs));
  const alternatives = names.map((name) =>
    isIP(name) === 4 ? inPlace(7, Buffer.from(name.split('.').map(Number))) : inPlace(2, Buffer.from(name)),
  );
  const extensions = [
    sequence(oid('2.5.29.19'), yes(), octets(isAuthority ? sequence(yes()) : sequence())),
    ...(names.length === 0 ? [] : [sequence(oid('2.5.29.17'), octets(sequence(...alternatives)))]),
  ];
  const body = sequence(
    around(0, integer(Buffer.of(2))),
    integer(Buffer.concat([Buffer.of(1), randomBytes(8)])),
    ecdsaWithSha256,
    nameOf(issuer.name),
    sequence(at(from), at(until)),
    nameOf(subject.name),
    subject.key.export({ type: 'spki', format: 'der' }),
    around(3, sequence(...extensions)),
  );
  return pem('CERTIFICATE', sequence(body, ecdsaWithSha256, bits(sign('sha256', body, issuer.key))));
}

const newKeys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const localNames = ['localhost', '127.0.0.1'];

/** What it signs is for this machine by all its names, from yesterday on for 30 days, unless said otherwise. */
export function createAuthority(name = 'an authority of a test'): Authority {
  const own = newKeys();
  const issuer = { name, key: own.privateKey };
  const subject = { name, key: own.publicKey };
  return {
    cert: certificateOf({ issuer, subject, isAuthority: true, options: {} }),
    issue(options = {}): Certificate {
      const { publicKey, privateKey } = newKeys();
      const server = { name: 'a server of a test', key: publicKey };
      const all = { names: localNames, ...options };
      return {
        cert: certificateOf({ issuer, subject: server, isAuthority: false, options: all }),
        key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    },
  };
}

/** A certificate that its own key has signed. */
export function selfSigned(): Certificate {
  const { publicKey, privateKey } = newKeys();
  const name = 'localhost';
  const cert = certificateOf({
    issuer: { name, key: privateKey },
    subject: { name, key: publicKey },
    isAuthority: true,
    options: { names: localNames },
  });
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}
