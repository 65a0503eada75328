import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** A server that has taken the connection answers at once, or does not speak that. */
const answerMs = 1000;

const addressOf = (url: string): { host: string; port: number } => {
  const { hostname, port } = new URL(url);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) };
};

/** Whether it speaks Redis in plain text: it answers a PING, if only that it wants a password. */
export function speaksPlain(url: string): Promise<boolean> {
  const socket = connectPlain(addressOf(url), () => socket.write('PING\r\n'));
  return answered(socket, (yes) => socket.once('data', (bytes) => yes(/^[+-]/.test(bytes.toString('latin1')))));
}

/** Whether it speaks TLS. Nothing is sent to it, so whose certificate it has does not matter here. */
export function speaksTls(url: string): Promise<boolean> {
  const address = addressOf(url);
  const name = isIP(address.host) === 0 ? { servername: address.host } : {};
  const socket = connectTls({ ...address, ...name, rejectUnauthorized: false });
  return answered(socket, (yes) => socket.once('secureConnect', () => yes(true)));
}

function answered(socket: Socket, listen: (yes: (answer: boolean) => void) => void): Promise<boolean> {
  return new Promise<boolean>((resolve) => {
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
    socket.setTimeout(answerMs, () => resolve(false));
    listen(resolve);
  }).finally(() => socket.destroy());
}
