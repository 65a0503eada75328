import type { Redis } from 'ioredis';

const beatMs = 1000;
/** So many beats without a byte: longer than a server needs to fork, or for a script. */
const beatsMax = 10;

/**
 * Ends a connection that the server, or whatever is between, has forgotten without a word, so that ioredis opens a new one and sends
 * again what has no answer. By itself TCP would wait for a quarter of an hour, in which the worker stays alive in PostgreSQL, and
 * keeps its partitions. `shared`: many wait for it, and it is asked each second. A copy of it, on which BullMQ blocks, is looked
 * after by BullMQ once it is ready.
 *
 * Not by ioredis' socketTimeout: its timer outlives the connection it was set for, ends the next one, and holds up the end of the
 * process. Counted are beats, not time: what came while this process itself stood still is read before the next one.
 */
export function endWhenMute(redis: Redis, shared: boolean): void {
  redis.on('connect', () => watch(redis, shared));
}

function watch(redis: Redis, shared: boolean): void {
  const { stream } = redis;
  let readBytes = -1;
  let muteBeats = 0;
  const beat = setInterval(() => {
    // Before it is ready ioredis itself asks, without a deadline.
    const isAsked = shared || redis.status === 'connect';
    muteBeats = isAsked && stream.bytesRead === readBytes ? muteBeats + 1 : 0;
    readBytes = stream.bytesRead;
    if (muteBeats >= beatsMax) stream.destroy(new Error(`Redis has sent nothing for ${beatsMax} s`));
    else if (shared && redis.status === 'ready') redis.ping().catch(() => undefined);
  }, beatMs);
  beat.unref();
  stream.once('close', () => clearInterval(beat));
  if (stream.destroyed) clearInterval(beat);
}
