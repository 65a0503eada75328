import type { Hash } from 'node:crypto';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { Request } from 'express';
import { HttpProblem } from '../http/problem.ts';

/** Nothing may come for this long. */
const silentMs = 30_000;
/** Over the time that is spent waiting for the client, this many bytes a second have to come, after a minute. */
const bytesPerSecondMin = 1024;
const patienceMs = 60_000;
/** What is unpacked may be so many times as large as what came, beyond the first bytes of it. */
const ratioMax = 250;
const ratioFreeBytes = 64 * 1024 * 1024;

/** What is read of a body, and how. */
export interface Source {
  hash?: Hash | undefined;
  gzip?: boolean;
  /** The whole of it has to be here by then. */
  totalMs?: number;
}

/** The bytes of a body as they come. Throws HttpProblem where they come too slowly or cannot be unpacked. */
export function readBody(req: Request, source: Source): AsyncIterable<Buffer> {
  const raw = read(req, source);
  return source.gzip ? unpack(raw) : raw;
}

async function* read(req: Request, { hash, totalMs = Infinity }: Source): AsyncGenerator<Buffer> {
  // Left early, the stream must live on: the answer goes over the same socket.
  const parts = (req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  const began = performance.now();
  let bytes = 0;
  let waitedMs = 0;
  let refuse: (error: unknown) => void = () => undefined;
  const silence = setTimeout(() => refuse(tooSlow()), Math.min(silentMs, totalMs));
  // No race with one promise for all parts: that would keep every part until the end.
  const nextPart = (): Promise<IteratorResult<Buffer>> =>
    new Promise((resolve, reject) => {
      refuse = reject;
      parts.next().then(resolve, reject);
    });
  try {
    for (;;) {
      const asked = performance.now();
      const next = await nextPart();
      if (next.done) return;
      const now = performance.now();
      waitedMs += now - asked;
      bytes += next.value.length;
      if (waitedMs > patienceMs && (bytes * 1000) / waitedMs < bytesPerSecondMin) throw tooSlow();
      if (now - began > totalMs) throw tooSlow();
      hash?.update(next.value);
      clearTimeout(silence);
      yield next.value;
      silence.refresh();
    }
  } finally {
    clearTimeout(silence);
    // Not awaited: a part that never comes would hold it.
    void parts.return?.();
  }
}

const tooSlow = (): HttpProblem =>
  new HttpProblem('request-timeout', `The body came too slowly: send ${bytesPerSecondMin} bytes a second at least`);

async function* unpack(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: 64 * 1024 });
  let broken: unknown;
  const piped = pipeline(packed, gunzip, (error) => void (broken = error));
  let bytes = 0;
  try {
    for await (const part of piped as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > ratioFreeBytes && bytes > ratioMax * gunzip.bytesWritten) throw bomb();
      yield part;
    }
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
