import type { AppendAnswer, Batch, JobAnswer, NewBatchBody, NewStream, Validation } from './batch.ts';
import type { Result } from './result.ts';
import type { Transport } from './transport.ts';

/** What every call that creates something takes. */
export interface Sending {
  /** Idempotency-Key: sent again under the same key, the same request is taken once, for 24 h. */
  key?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** NDJSON or CSV of any length. */
export interface StreamBody extends Omit<NewStream, 'validate'> {
  form: 'ndjson' | 'csv';
  /** The body is gzip already. */
  gzip?: boolean | undefined;
  body: AsyncIterable<Uint8Array>;
  signal?: AbortSignal | undefined;
}

const types = { json: 'application/json', ndjson: 'application/x-ndjson', csv: 'text/csv' } as const;

/** Otherwise fetch keeps a copy of all that was sent, for a redirect: 1.6 GB of memory for a file of 1.5 GB. */
const keptNowhere: RequestInit & { window: null } = { redirect: 'error', window: null };

/** The calls of the client that give work to the service. */
export function createSubmitCalls({ send, read, jsonOf }: Transport, batchPath: (id: string) => string) {
  async function sendStream<Answer>(query: object, stream: StreamBody, key?: string): Promise<Answer> {
    let broken: { error: unknown } | null = null;
    const parts = (async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield* stream.body;
      } catch (error) {
        broken = { error };
        throw error;
      }
    })();
    const headers = {
      'content-type': types[stream.form],
      'bullpen-options': headerText(stream),
      ...(stream.gzip && { 'content-encoding': 'gzip' }),
    };
    try {
      return await read('/v1/batches', query, {
        ...posted({ key, signal: stream.signal }, headers),
        body: ReadableStream.from(parts),
        duplex: 'half',
        ...keptNowhere,
      });
    } catch (error) {
      // A file that cannot be read to its end is no fault of the connection.
      throw broken === null ? error : (broken as { error: unknown }).error;
    } finally {
      // After a refusal fetch neither sends the rest nor closes where it comes from. A read that never ends is not waited for.
      parts.return(undefined).catch(() => undefined);
    }
  }

  return {
    /** Answers once the batch is stored; a repeated call without a key makes another batch. */
    submit: (body: NewBatchBody, sending: Sending = {}): Promise<Batch> =>
      read('/v1/batches', {}, postedJson(body, sending)),

    /** The same of a body that is sent while it is read. What is wrong with a line comes out as soon as it is seen. */
    submitStream: ({ key, ...stream }: StreamBody & Sending): Promise<Batch> =>
      sendStream({ handler: stream.handler, name: stream.name }, stream, key),

    /** How many lines there are, and the first hundred faults. Nothing is stored. */
    validateStream: (stream: StreamBody): Promise<Validation> =>
      sendStream({ handler: stream.handler, name: stream.name, validate: 'only' }, stream),

    /** More items for an open batch, all or none: at most 50 000 in 8 MiB. */
    append: (id: string, items: readonly unknown[], sending: Sending = {}): Promise<AppendAnswer> =>
      read(`${batchPath(id)}/items`, {}, postedJson(items, sending)),

    /** The same of NDJSON as it stands. */
    appendLines: (id: string, lines: Uint8Array, sending: Sending = {}): Promise<AppendAnswer> =>
      read(`${batchPath(id)}/items`, {}, { ...posted(sending, { 'content-type': types.ndjson }), body: lines }),

    /** An open batch takes no more items. Repeated it changes nothing. */
    close: (id: string): Promise<Batch> => read(`${batchPath(id)}/close`, {}, { method: 'POST' }),

    /** One item: its result if it is there within `waitSeconds` (60 at most), else the place where it will be. */
    async submitJob(
      handler: string,
      input: unknown,
      { waitSeconds, ...sending }: Sending & { waitSeconds?: number | undefined } = {},
    ): Promise<{ result: Result } | { placed: JobAnswer }> {
      const path = `/v1/jobs/${encodeURIComponent(handler)}`;
      const response = await send(path, { wait: waitSeconds }, postedJson(input, sending));
      if (response.status === 200) return { result: await jsonOf<Result>(response, sending.signal) };
      return { placed: await jsonOf<JobAnswer>(response, sending.signal) };
    },
  };
}

const posted = ({ key, signal }: Sending, headers: Record<string, string>): RequestInit => ({
  method: 'POST',
  headers: { ...headers, ...(key !== undefined && { 'idempotency-key': key }) },
  ...(signal !== undefined && { signal }),
});

const postedJson = (body: unknown, sending: Sending): RequestInit => ({
  ...posted(sending, { 'content-type': types.json }),
  body: JSON.stringify(body),
});

/** The header Bullpen-Options: what is secret in params is in no URL, and so in no log. */
const headerText = ({ params, options }: StreamBody): string =>
  Buffer.from(JSON.stringify({ params, options })).toString('base64url');
