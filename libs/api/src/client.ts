import type { Batch, BatchChange, BatchPage } from './batch.ts';
import { createSubmitCalls } from './client-submit.ts';
import type { HandlerAnswer, PartitionAnswer, WorkerAnswer } from './cluster.ts';
import { ApiError } from './errors.ts';
import type { BatchEvent } from './events.ts';
import type { Failures, Retry } from './failures.ts';
import { followEvents, type FollowOptions } from './follow-events.ts';
import { linesOf } from './lines.ts';
import type { CreatedKey, KeyAnswer, NewKeyBody } from './keys.ts';
import type { HandlerLimits, HandlerLimitsBody } from './limits.ts';
import { completeHeader, countedHeader, type Result, type ResultPage } from './result.ts';
import { createTransport, type Patience } from './transport.ts';

export interface BatchesQuery {
  state?: Batch['state'] | undefined;
  handler?: string | undefined;
  kind?: Batch['kind'] | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface ResultsQuery {
  status?: 'succeeded' | 'failed' | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
}

/** Which results a stream brings: those of one outcome, and those after a place. */
export interface ResultLinesQuery {
  status?: 'succeeded' | 'failed' | undefined;
  /** Only results with a greater index. */
  after?: number | undefined;
  /** Where a page with the same status ended; instead of `after`. */
  cursor?: string | undefined;
  /** Each with its input; `only`: nothing but the inputs, as they can be submitted again. */
  inputs?: boolean | 'only' | undefined;
}

export interface ResultCsvQuery extends ResultLinesQuery {
  escapeFormulas?: boolean | undefined;
}

export interface ClientOptions {
  url: string;
  apiKey?: string | undefined;
  /** For tests; unset: 30 s for an answer, 45 s between two bytes of events. */
  patience?: Patience | undefined;
}

export type Client = ReturnType<typeof createClient>;

/**
 * The API from a program. Every call rejects with ApiError where the service says no, and with UnreachableError where
 * nobody answers or the answer breaks off. Answers are not checked again: the service made them by the same types.
 */
export function createClient({ url, apiKey, patience }: ClientOptions) {
  const transport = createTransport(url, apiKey, patience);
  const { send, read, bytesOf } = transport;
  const batchPath = (id: string): string => `/v1/batches/${encodeURIComponent(id)}`;
  const resultsPath = (id: string): string => `${batchPath(id)}/results`;
  const signalOf = (signal: AbortSignal | undefined): RequestInit => (signal === undefined ? {} : { signal });

  return {
    ...createSubmitCalls(transport, batchPath),

    /** The batch now, or when it ends, at the latest after `waitSeconds` (60 at most). */
    getBatch: (
      id: string,
      { waitSeconds, signal }: { waitSeconds?: number; signal?: AbortSignal | undefined } = {},
    ): Promise<Batch> => read(batchPath(id), { wait: waitSeconds }, signalOf(signal)),

    /** Another name, other limits; an option that is null is taken away. */
    changeBatch: (id: string, change: BatchChange): Promise<Batch> =>
      read(batchPath(id), {}, jsonBody('PATCH', change)),

    /** Nothing more of it starts; what was done stays. */
    cancelBatch: (id: string): Promise<Batch> => read(`${batchPath(id)}/cancel`, {}, { method: 'POST' }),
    pauseBatch: (id: string): Promise<Batch> => read(`${batchPath(id)}/pause`, {}, { method: 'POST' }),
    resumeBatch: (id: string): Promise<Batch> => read(`${batchPath(id)}/resume`, {}, { method: 'POST' }),
    /** Its failed items run again, with new attempts; those of one cause where a fingerprint is given. */
    retryBatch: (id: string, body: Retry = {}): Promise<Batch> =>
      read(`${batchPath(id)}/retry`, {}, jsonBody('POST', body)),

    /** Deletes a batch that has ended, with its results. */
    async deleteBatch(id: string): Promise<void> {
      await send(batchPath(id), {}, { method: 'DELETE' });
    },

    listBatches: (query: BatchesQuery = {}): Promise<BatchPage> => read('/v1/batches', query),

    results: (id: string, query: ResultsQuery = {}): Promise<ResultPage> => read(resultsPath(id), query),

    result: (id: string, index: number): Promise<Result> => read(`${resultsPath(id)}/${index}`),

    /** Failed items by cause, the most frequent first. */
    failures: (id: string, query: { limit?: number | undefined } = {}): Promise<Failures> =>
      read(`${batchPath(id)}/failures`, query),

    /** Raw NDJSON lines, a result each, in index order; of a batch that still runs the last one is `{"complete": false}`. */
    async *resultLines(id: string, query: ResultLinesQuery = {}): AsyncGenerator<string> {
      const response = await send(resultsPath(id), query, { headers: { accept: 'application/x-ndjson' } });
      yield* linesOf(bytesOf(response));
    },

    /** The same as CSV. `complete` is false where the batch still runs and more results may come. */
    async resultCsv(
      id: string,
      query: ResultCsvQuery = {},
    ): Promise<{ complete: boolean; bytes: AsyncGenerator<Uint8Array> }> {
      const response = await send(resultsPath(id), query, { headers: { accept: 'text/csv' } });
      return { complete: response.headers.get(completeHeader) === 'true', bytes: bytesOf(response) };
    },

    /** Whether its items were given by their count: then it has no inputs. */
    async isCounted(id: string): Promise<boolean> {
      const { headers } = await send(`${batchPath(id)}/inputs`, {}, { method: 'HEAD' });
      return headers.get(countedHeader) === 'true';
    },

    /** Raw NDJSON lines, `{"index", "input"}` each, whether there is a result or not. */
    async *inputLines(id: string): AsyncGenerator<string> {
      const response = await send(`${batchPath(id)}/inputs`, {}, { headers: { accept: 'application/x-ndjson' } });
      yield* linesOf(bytesOf(response));
    },

    /** Progress and state until the batch has ended. It reconnects by itself, and tells nothing twice. */
    events: (id: string, options: FollowOptions = {}): AsyncGenerator<BatchEvent> =>
      followEvents(transport, `${batchPath(id)}/events`, options),

    handlers: (): Promise<{ items: HandlerAnswer[] }> => read('/v1/handlers'),
    /** What all batches of a handler together may do; what is left out is not limited. */
    limitHandler: (name: string, limits: HandlerLimitsBody): Promise<HandlerLimits> =>
      read(`/v1/handlers/${encodeURIComponent(name)}/limits`, {}, jsonBody('PUT', limits)),
    workers: (signal?: AbortSignal): Promise<{ items: WorkerAnswer[] }> => read('/v1/workers', {}, signalOf(signal)),
    partitions: (): Promise<{ items: PartitionAnswer[] }> => read('/v1/partitions'),

    keys: (): Promise<{ items: KeyAnswer[] }> => read('/v1/keys'),
    /** The answer is the only one that holds the key. */
    createKey: (body: NewKeyBody): Promise<CreatedKey> => read('/v1/keys', {}, jsonBody('POST', body)),
    /** Within 2 s it is refused, for good. */
    async revokeKey(id: string): Promise<void> {
      await send(`/v1/keys/${encodeURIComponent(id)}`, {}, { method: 'DELETE' });
    },

    /** What is in the way, one line each; [] is ready. */
    async ready(): Promise<string[]> {
      try {
        await read('/readyz');
        return [];
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 503) throw error;
        return error.problem.errors?.map(({ message }) => message) ?? [error.problem.detail];
      }
    },
  };
}

const jsonBody = (method: string, body: unknown): RequestInit => ({
  method,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});
