import { createHmac } from 'node:crypto';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** What came to a receiver. */
export interface Letter {
  path: string;
  headers: IncomingHttpHeaders;
  text: string;
  /** Id of the delivery. */
  delivery: string;
}

export interface Receiver {
  url: string;
  port: number;
  letters: Letter[];
  close: () => Promise<void>;
}

/** How the n-th letter, from 1, is answered: with a status, with a status and headers, or never. */
type Answers = (n: number, letter: Letter) => number | [number, Record<string, string>] | 'never' | Promise<number>;

/** A receiver of webhooks: a real server on a free port of this machine. */
export async function openReceiver(answers: Answers = () => 204, host = '127.0.0.1', at = 0): Promise<Receiver> {
  const letters: Letter[] = [];
  const server = createServer((req, res) => {
    void buffer(req).then(async (bytes) => {
      const letter = {
        path: req.url!,
        headers: req.headers,
        text: bytes.toString(),
        delivery: String(req.headers['bullpen-delivery']),
      };
      const answer = await answers(letters.push(letter), letter);
      if (answer === 'never') return;
      const [status, headers = {}] = Array.isArray(answer) ? answer : [answer];
      res.writeHead(status, headers).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(at, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host}:${port}/done?from=test`,
    port,
    letters,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Whether a letter is signed as docs/api.md says. Written from that page, and not with the words of who signs. */
export function isSigned({ headers, text }: Letter, secret: string): boolean {
  const { t, v1 } = Object.fromEntries(
    String(headers['bullpen-signature'])
      .split(',')
      .map((part) => part.split('=')),
  ) as { t: string; v1: string };
  return v1 === createHmac('sha256', secret).update(`${t}.${text}`).digest('hex');
}
