import { connect as connectSocket, type Socket } from 'node:net';
import { noTlsCode } from '@bullpen/runtime';

export interface Address {
  host: string[];
  port: number[];
  path?: string;
}

export interface SocketsOptions {
  withTls: boolean;
  /** After a question the server may be silent this long; Infinity: for ever. */
  silentMs: number;
}

const lookMs = 500;
/**
 * So long a connection may be without a first byte: a server whose packets were lost is found this soon after its return. The whole way
 * to the first statement may take longer (connect_timeout): with TLS that is seven round trips, over 4 s by satellite.
 */
const firstByteMs = 2000;

/** A line that is younger is new enough: what it is of is what there is now. */
const freshMs = 1000;

/** A connection, and whether it speaks TLS by now. */
interface Line {
  socket: Socket;
  openedAt: number;
  isUpgraded: boolean;
}

/** The sockets of one pool, those that are being opened too. Looked at, since postgres.js takes all listeners off one when it upgrades to TLS. */
export function createSockets({ withTls, silentMs }: SocketsOptions) {
  let known: Line[] = [];
  const open = (): number => (known = known.filter(({ socket }) => !socket.destroyed)).length;
  return {
    /** How many there are. */
    open,
    add(asked: Address): Socket {
      open();
      const line = openLine(asked, withTls);
      watchSilence(line, silentMs);
      known.push(line);
      return line.socket;
    },
    /** Ends those that are there for a while, with what is asked on them: the next ones find a server that has changed as it is now. */
    renew: (): void => {
      const now = performance.now();
      open();
      for (const line of known) if (line.socket.bytesRead > 0 && now - line.openedAt >= freshMs) endLine(line);
    },
  };
}

/** Answers before it is connected: postgres.js would leak the connection if this failed, while it handles the socket's own errors. */
function openLine(options: Address, withTls: boolean): Line {
  const [host = '127.0.0.1'] = options.host;
  const [port = 5432] = options.port;
  const socket = options.path ? connectSocket(options.path) : connectSocket({ host, port });
  const line = { socket, openedAt: performance.now(), isUpgraded: false };
  if (withTls) socket.once('data', (answer: Buffer) => lookForTls(line, answer));
  socket.once('end', () => refuseUnheard(socket));
  // postgres.js reads these two when it upgrades to TLS.
  Object.assign(socket, { host, port });
  return line;
}

/** The first byte answers whether the server speaks TLS. postgres.js goes on after a no, and all that is left of it is a lost connection. */
function lookForTls(line: Line, answer: Buffer): void {
  line.isUpgraded = answer.toString('latin1', 0, 1) === 'S';
  if (line.isUpgraded) return;
  line.socket.destroy(Object.assign(new Error('the server speaks no TLS'), { code: noTlsCode }));
}

/**
 * Something that takes connections and closes them without a word, as a balancer does that has no server: postgres.js would open the
 * next one at once, again and again, and the statement would never end. It is as good as refused.
 */
function refuseUnheard(socket: Socket): void {
  if (socket.bytesRead > 0) return;
  socket.destroy(
    Object.assign(new Error('the server closed the connection before it said anything'), { code: 'ECONNREFUSED' }),
  );
}

const saysNothing = (): Error =>
  Object.assign(new Error('the server says nothing to a new connection'), { code: 'CONNECT_TIMEOUT' });

/**
 * Ends a line that has been of use, so that all that was asked on it fails with CONNECTION_CLOSED. It is told no reason: of what is asked
 * between an error of the socket and its end postgres.js never hears again. The socket of TLS is not known here; it goes when it
 * hears that the one below has gone, and takes that along. The other way round it would be written to meanwhile, which ends the process (EBADF).
 */
function endLine({ socket, isUpgraded }: Line): void {
  if (isUpgraded) socket.emit('close', false);
  else socket.destroy();
}

/**
 * Ends a line on which something was sent and nothing has come back for `silentMs`: postgres.js has no time-out of its own for a
 * server that froze. Node's would not do: its listener is gone after the upgrade to TLS, and each statement that is sent into a
 * dead connection would give it new life. The raw socket counts the bytes of TLS as well.
 *
 * The time runs from what was heard last, or from the first that was sent after it: a connection that was idle has all of it. What leaves a
 * full queue is heard, too: a slow line has taken the piece before, while a statement of 4 MB may be on its way for minutes.
 */
function watchSilence(line: Line, silentMs: number): void {
  const { socket, openedAt } = line;
  let since = openedAt;
  let seen = { heard: 0, sent: 0, queued: 0 };
  let isAsked = false;
  const look = (): void => {
    if (socket.destroyed) return clearInterval(timer);
    const now = performance.now();
    const queued = queuedBytes(socket);
    const next = { heard: socket.bytesRead, sent: socket.bytesWritten - queued, queued };
    const isHeard = next.heard !== seen.heard || (seen.queued > 0 && next.sent !== seen.sent);
    const isNew = !isAsked && next.sent !== seen.sent;
    if (isHeard || isNew) since = now;
    isAsked = !isHeard && (isAsked || isNew);
    seen = next;
    // With a reason the statement that opens the connection is told; without one postgres.js would just open the next.
    if (next.heard === 0 && now - openedAt >= firstByteMs) socket.destroy(saysNothing());
    else if (next.heard > 0 && now - since >= silentMs) endLine(line);
  };
  const timer = setInterval(look, lookMs).unref();
}

/** What the system has not taken yet. Node's own time-out looks at the same; where it is not told, only answers are signs of life. */
const queuedBytes = (socket: Socket): number =>
  (socket as { _handle?: { writeQueueSize?: number } | null })._handle?.writeQueueSize ?? 0;
