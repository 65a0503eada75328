import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Writes and waits until it is taken; false when the other side has left. Nothing that waits is left on the stream. */
export async function writeAll(stream: Writable, bytes: Buffer | string): Promise<boolean> {
  if (stream.destroyed) return false;
  if (stream.write(bytes)) return true;
  const done = new AbortController();
  const { signal } = done;
  await Promise.race([once(stream, 'drain', { signal }), once(stream, 'close', { signal })]).finally(() =>
    done.abort(),
  );
  return !stream.destroyed;
}
