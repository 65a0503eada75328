import type { Batch, BatchPage, NewBatchBody } from './batch.ts';
import type { HandlerAnswer, PartitionAnswer, WorkerAnswer } from './cluster.ts';
import { ApiError, UnreachableError } from './errors.ts';
import type { Failures } from './failures.ts';
import { linesOf } from './lines.ts';
import { type Problem, problemOf, problemSchema } from './problems.ts';
import type { Result, ResultPage } from './result.ts';

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

export type Client = ReturnType<typeof createClient>;

/**
 * The API from a program. Every call rejects with ApiError where the service says no, and with UnreachableError where
 * nobody answers or the answer breaks off. Answers are not checked again: the service made them by the same types.
 */
export function createClient({ url }: { url: string }) {
  const base = url.replace(/\/+$/, '');

  async function send(path: string, query: object = {}, init: RequestInit = {}): Promise<Response> {
    const response = await reach(base, 'silent', init.signal, () => fetch(`${base}${path}${queryText(query)}`, init));
    if (response.ok) return response;
    throw new ApiError(await readProblem(response, path));
  }

  async function read<Answer>(path: string, query?: object, init?: RequestInit): Promise<Answer> {
    const response = await send(path, query, init);
    return reach(base, 'broke off', init?.signal, async () => (await response.json()) as Answer);
  }

  const batchPath = (id: string): string => `/v1/batches/${encodeURIComponent(id)}`;
  const signalOf = (signal: AbortSignal | undefined): RequestInit => (signal === undefined ? {} : { signal });

  return {
    /** Answers once the batch is stored; a repeated call makes another batch. */
    submit: (body: NewBatchBody): Promise<Batch> =>
      read(
        '/v1/batches',
        {},
        { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      ),

    /** The batch now, or when it ends, at the latest after `waitSeconds` (60 at most). */
    getBatch: (
      id: string,
      { waitSeconds, signal }: { waitSeconds?: number; signal?: AbortSignal | undefined } = {},
    ): Promise<Batch> => read(batchPath(id), { wait: waitSeconds }, signalOf(signal)),

    listBatches: (query: BatchesQuery = {}): Promise<BatchPage> => read('/v1/batches', query),

    results: (id: string, query: ResultsQuery = {}): Promise<ResultPage> => read(`${batchPath(id)}/results`, query),

    result: (id: string, index: number): Promise<Result> => read(`${batchPath(id)}/results/${index}`),

    /** Failed items by cause, the most frequent first. */
    failures: (id: string, query: { limit?: number | undefined } = {}): Promise<Failures> =>
      read(`${batchPath(id)}/failures`, query),

    /** Raw NDJSON lines, a result each, in index order; of a batch that still runs the last one is `{"complete": false}`. */
    async *resultLines(id: string, { status }: Pick<ResultsQuery, 'status'> = {}): AsyncGenerator<string> {
      const response = await send(
        `${batchPath(id)}/results`,
        { status },
        { headers: { accept: 'application/x-ndjson' } },
      );
      try {
        yield* linesOf(response.body as unknown as AsyncIterable<Uint8Array>);
      } catch (error) {
        throw new UnreachableError(base, 'broke off', error);
      }
    },

    handlers: (): Promise<{ items: HandlerAnswer[] }> => read('/v1/handlers'),
    workers: (): Promise<{ items: WorkerAnswer[] }> => read('/v1/workers'),
    partitions: (): Promise<{ items: PartitionAnswer[] }> => read('/v1/partitions'),

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

/** An abort by the caller stays what it is; any other failure of fetch means that nobody answers, or not to the end. */
async function reach<Answer>(
  url: string,
  why: 'silent' | 'broke off',
  signal: AbortSignal | null | undefined,
  call: () => Promise<Answer>,
): Promise<Answer> {
  try {
    return await call();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new UnreachableError(url, why, error);
  }
}

/** Whatever stands between may answer something that is no problem+json. */
async function readProblem(response: Response, path: string): Promise<Problem> {
  const text = await response.text().catch(() => '');
  try {
    return problemSchema.parse(JSON.parse(text));
  } catch {
    const detail = `${response.status} ${response.statusText}, not from a Bullpen`.trim();
    return { ...problemOf('unavailable', { detail, instance: path }), status: response.status };
  }
}

function queryText(query: object): string {
  const text = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) text.set(name, String(value));
  return text.size === 0 ? '' : `?${text.toString()}`;
}
