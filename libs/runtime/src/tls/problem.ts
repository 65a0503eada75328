/** A server as its messages name it. */
export interface ServerName {
  name: 'PostgreSQL' | 'Redis';
  /** With its port, as in its URL. */
  host: string;
  setting: 'DATABASE_URL' | 'REDIS_URL';
}

/** Whoever closes the connection, or the one who tells it that the server said no, says so with this code. */
export const noTlsCode = 'SERVER_SPEAKS_NO_TLS';

const unknownAuthority = /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+|CERT_UNTRUSTED)$/;
const otherCertificate = /^(CERT_\w+|CRL_\w+|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH)$/;
const otherProtocol = /^(ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG|SERVER_SPEAKS_NO_TLS)$/;
const handshake = /^(EPROTO|ERR_SSL_\w+)$/;

const codeIn = (error: unknown): string => {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : '';
};

/** Whether TLS to a server did not come about: nothing was sent, and it will not help to wait a little. */
export const isTlsCode = (code: string): boolean =>
  code === 'ERR_TLS_CERT_ALTNAME_INVALID' ||
  [unknownAuthority, otherCertificate, otherProtocol, handshake].some((each) => each.test(code));

/** Why TLS to a server did not come about, and what to do, in one line; null: it was not that. */
export function tlsProblem(error: unknown, { name, host, setting }: ServerName): string | null {
  const code = codeIn(error);
  const server = `${name} at ${host}`;
  const shows = `${server} shows a certificate that`;
  if (!isTlsCode(code)) return null;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `${shows} is not for this name, but for ${namesIn(error)}: use one of its names in ${setting}`;
  if (code === 'CERT_HAS_EXPIRED') return `${shows} has expired: renew it, or check the clock of this machine`;
  if (code === 'CERT_NOT_YET_VALID') return `${shows} is not valid yet: check the clocks of both machines`;
  if (unknownAuthority.test(code)) {
    const file = name === 'PostgreSQL' ? ', or sslrootcert=<file> in DATABASE_URL' : '';
    return `${shows} no known CA has signed (${code}): name the file of its CA by NODE_EXTRA_CA_CERTS=<file>${file}`;
  }
  if (otherCertificate.test(code)) return `${shows} cannot be accepted (${code}): give it a new one`;
  if (otherProtocol.test(code)) return speaksNoTls(server, setting);
  return `${server} and this process find no way to speak TLS (${code}): it must take TLS 1.2 or newer, and ask for no client certificate`;
}

const speaksNoTls = (server: string, setting: ServerName['setting']): string => {
  const plain = setting === 'REDIS_URL' ? 'use redis://' : 'take sslmode out';
  return `${server} speaks no TLS: turn it on there, or ${plain} in ${setting} where nobody else can listen`;
};

/** `DNS:db.example.com, IP Address:10.0.0.5`, as names alone. */
function namesIn(error: unknown): string {
  const { cert } = error as { cert?: { subjectaltname?: string; subject?: { CN?: string } } };
  const names = cert?.subjectaltname?.replace(/(DNS|IP Address):/g, '') ?? cert?.subject?.CN;
  return (names ?? 'another').slice(0, 200);
}

/** A server that takes TLS only, and was asked without. */
export const tlsOnlyProblem = ({ name, host, setting }: ServerName): string =>
  `${name} at ${host} takes TLS only: ` +
  (setting === 'REDIS_URL' ? 'use rediss:// in REDIS_URL' : 'add ?sslmode=verify-full to DATABASE_URL');
