import type { Hash } from 'node:crypto';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Request } from 'express';
import { HttpProblem } from '../http/problem.ts';

/** How slow a body may be: so long nothing, and over the time that is spent waiting for it so many bytes a second, after a minute. */
const slowest = { silentMs: 30_000, bytesPerSecond: 1024, patienceMs: 60_000 };
/** What is unpacked may be so many times as large as what came, beyond the first bytes of it. */
const ratioMax = 250;
const ratioFreeBytes = 16 * 1024 * 1024;

/** What is read of a body, and how. */
export interface Source {
  hash?: Hash | undefined;
  gzip?: boolean;
  /** The whole of it has to be here by then. */
  totalMs?: number;
  pace?: typeof slowest;
}

/** The bytes of a body as they come. Throws HttpProblem where they come too slowly or cannot be unpacked. */
export function readBody(req: Request, source: Source): AsyncIterable<Buffer> {
  const raw = read(req, source);
  return source.gzip ? unpack(raw) : raw;
}

async function* read(req: Request, { hash, totalMs = Infinity, pace = slowest }: Source): AsyncGenerator<Buffer> {
  // Left early, the stream must live on: the answer goes over the same socket.
  const parts = (req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  const began = performance.now();
  let bytes = 0;
  let waitedMs = 0;
  let silence: NodeJS.Timeout | undefined;
  // No race with one promise for all parts: that would keep every part until the end.
  const nextPart = (): Promise<IteratorResult<Buffer>> =>
    new Promise((resolve, reject) => {
      silence = setTimeout(() => reject(tooSlow()), Math.min(pace.silentMs, totalMs));
      parts.next().then(resolve, reject);
    });
  try {
    for (;;) {
      const asked = performance.now();
      const next = await nextPart();
      clearTimeout(silence);
      if (next.done) return;
      const now = performance.now();
      waitedMs += now - asked;
      bytes += next.value.length;
      if (waitedMs > pace.patienceMs && (bytes * 1000) / waitedMs < pace.bytesPerSecond) throw tooSlow();
      if (now - began > totalMs) throw tooSlow();
      hash?.update(next.value);
      yield next.value;
    }
  } finally {
    clearTimeout(silence);
    // Not awaited: a part that never comes would hold it.
    void parts.return?.();
  }
}

const tooSlow = (): HttpProblem =>
  new HttpProblem(
    'request-timeout',
    `The body came too slowly: send ${slowest.bytesPerSecond} bytes a second at least`,
  );

async function* unpack(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: 64 * 1024 });
  let broken: unknown;
  let came = 0;
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const part of packed) {
      came += part.length;
      yield part;
    }
  }
  const piped = pipeline(counted(), gunzip, (error) => void (broken = error));
  let bytes = 0;
  try {
    for await (const part of piped as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > ratioFreeBytes && bytes > ratioMax * gunzip.bytesWritten) throw bomb();
      yield part;
    }
    // Node leaves out what comes after a member and begins with a zero.
    if (gunzip.bytesWritten < came) throw new HttpProblem('malformed', 'There is more after the end of the gzip');
  } catch (error) {
    throw isZlib(error) || isZlib(broken)
      ? new HttpProblem('malformed', 'The body is no gzip, or it was cut')
      : (broken ?? error);
  } finally {
    gunzip.destroy();
  }
}

const isZlib = (error: unknown): boolean => String((error as { code?: unknown } | null)?.code).startsWith('Z_');

const bomb = (): HttpProblem =>
  new HttpProblem(
    'too-large',
    `The body unpacks to more than ${ratioMax} times its size: send it with less compression`,
  );
