import { ApiError, UnreachableError } from './errors.ts';
import type { BatchEvent } from './events.ts';
import type { Transport } from './transport.ts';

/** Between two tries to connect, and how long the service may be away before a follower gives up. */
const pauseMs = 500;
const awayMaxMs = 30_000;

export interface FollowOptions {
  signal?: AbortSignal | undefined;
  /** The id of the last event that was seen: it goes on after that one. */
  lastEventId?: string | undefined;
}

/**
 * The events of a batch until its end, over as many connections as it takes. Throws what the first connection throws; later
 * on, ApiError of a service that says no, and UnreachableError of one that is away for half a minute.
 */
export async function* followEvents(
  { send, livelyBytesOf }: Transport,
  path: string,
  { signal, lastEventId }: FollowOptions,
): AsyncGenerator<BatchEvent> {
  let seen = lastEventId;
  let connected = false;
  let lostAt: number | null = null;
  for (;;) {
    try {
      const response = await send(path, {}, requestAfter(seen, signal));
      if (response.status === 204) return;
      connected = true;
      lostAt = null;
      const before = seen;
      for await (const event of eventsIn(livelyBytesOf(response, signal))) {
        seen = event.id;
        yield event;
      }
      // Whatever answers without an event is not asked again at once.
      if (seen === before) await pause(signal);
    } catch (error) {
      lostAt ??= performance.now();
      const isAway = !connected || performance.now() - lostAt > awayMaxMs;
      if (signal?.aborted || !mayPass(error) || isAway) throw error;
      await pause(signal);
    }
  }
}

const requestAfter = (lastEventId: string | undefined, signal: AbortSignal | undefined): RequestInit => ({
  headers: { accept: 'text/event-stream', ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) },
  ...(signal !== undefined && { signal }),
});

/** Nobody answers, or the service says that it cannot at the moment. */
const mayPass = (error: unknown): boolean =>
  error instanceof UnreachableError || (error instanceof ApiError && error.status === 503);

function pause(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, pauseMs);
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    signal?.addEventListener('abort', done);
  });
}

/** An event ends with an empty line; one that the connection cut short is none. */
async function* eventsIn(body: AsyncIterable<Uint8Array>): AsyncGenerator<BatchEvent> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const bytes of body) {
    const blocks = (text + decoder.decode(bytes, { stream: true })).split('\n\n');
    text = blocks.pop()!;
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map(fieldOf));
      const data = fields.get('data');
      if (data === undefined) continue;
      yield { id: fields.get('id'), event: fields.get('event'), ...(JSON.parse(data) as object) } as BatchEvent;
    }
  }
}

/** `name: value`; a comment is a field without a name. */
function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
}
