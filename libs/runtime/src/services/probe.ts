import { connect } from 'node:net';

/** True when PostgreSQL on this port takes logins: it answers a start-up message with a request for a password. */
export async function postgresAnswers(port: number, user: string): Promise<boolean> {
  const answer = await exchange(port, startupMessage(user));
  if (answer?.[0] === 'R'.charCodeAt(0)) return true;
  // An error is an answer too (53300, too many clients), except 57P03: it still starts up, recovers or shuts down.
  return answer?.[0] === 'E'.charCodeAt(0) && !answer.includes('C57P03\0');
}

/** True when Redis on this port takes commands; while it loads its file it answers -LOADING. */
export async function redisAnswers(port: number): Promise<boolean> {
  const answer = (await exchange(port, Buffer.from('PING\r\n')))?.toString('latin1') ?? '';
  return answer.startsWith('+PONG') || answer.startsWith('-NOAUTH');
}

/** Protocol 3.0: length, version, then name/value pairs ended by an empty name. */
function startupMessage(user: string): Buffer {
  const pairs = Buffer.from(`user\0${user}\0database\0postgres\0\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + pairs.length, 0);
  head.writeInt32BE(3 << 16, 4);
  return Buffer.concat([head, pairs]);
}

/** Sends `request` to 127.0.0.1 and resolves with the first bytes of the answer; null when there is none within a second. */
const exchange = (port: number, request: Buffer): Promise<Buffer | null> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const end = (answer: Buffer | null) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => end(null));
    socket.once('connect', () => socket.write(request));
    socket.once('data', end);
    socket.once('error', () => end(null));
    socket.once('close', () => end(null));
  });
