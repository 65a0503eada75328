import { ApiError, UnreachableError } from './errors.ts';
import { type Problem, problemOf, problemSchema } from './problems.ts';

/** How long a service may say nothing. */
export interface Patience {
  /** From a request to the end of its answer, beside the time that it asks to wait, and that of a large body. */
  answerMs: number;
  /** Between two bytes of an event stream, which come each 15 s at least. */
  quietMs: number;
}

const patienceDefaults: Patience = { answerMs: 30_000, quietMs: 45_000 };
/** A body that is slower than this is given up. */
const bytesPerMsMin = 50;

export type Transport = ReturnType<typeof createTransport>;

/** Requests to one service, whose every failure is an ApiError or an UnreachableError. */
export function createTransport(url: string, apiKey?: string, patience: Patience = patienceDefaults) {
  const base = url.replace(/\/+$/, '');

  /** The head of an answer; its body has no deadline. */
  const send = (path: string, query: object = {}, init: RequestInit = {}): Promise<Response> =>
    inTime(query, init, (timed) => request(path, query, timed));

  const read = <Answer>(path: string, query: object = {}, init: RequestInit = {}): Promise<Answer> =>
    inTime(query, init, async (timed) => jsonOf<Answer>(await request(path, query, timed), timed.signal));

  /** A body that is a stream may take as long as it takes: fetch gives it up when nothing goes on for 300 s. */
  async function inTime<Answer>(
    query: { wait?: unknown },
    init: RequestInit,
    call: (timed: RequestInit) => Promise<Answer>,
  ): Promise<Answer> {
    const { body, signal } = init;
    if (body instanceof ReadableStream) return call(init);
    const sentMs = lengthOf(body) / bytesPerMsMin;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), Number(query.wait ?? 0) * 1000 + patience.answerMs + sentMs);
    try {
      return await call({ ...init, signal: AbortSignal.any(signal ? [signal, late.signal] : [late.signal]) });
    } catch (error) {
      throw late.signal.aborted ? new UnreachableError(base, 'mute', error) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  async function request(path: string, query: object, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (apiKey !== undefined) headers.set('authorization', `Bearer ${apiKey}`);
    const response = await reach(base, init.signal, () =>
      fetch(`${base}${path}${queryText(query)}`, { ...init, headers }),
    );
    if (response.ok) return response;
    throw new ApiError(await readProblem(response, path));
  }

  const jsonOf = <Answer>(response: Response, signal?: AbortSignal | null): Promise<Answer> =>
    reach(base, signal, async () => (await response.json()) as Answer);

  /** The body as it comes. Leaving the loop ends the request. */
  async function* bytesOf(response: Response, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      if (response.body !== null) yield* response.body as unknown as AsyncIterable<Uint8Array>;
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new UnreachableError(base, 'broke off', error);
    }
  }

  /** The same of a stream that is never still for long: where it is, nobody is there any more. */
  async function* livelyBytesOf(response: Response, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const reader = response.body?.getReader();
    let quiet = false;
    const give = (): void => {
      quiet = true;
      reader?.cancel().catch(() => undefined);
    };
    const read = async () => {
      const timer = setTimeout(give, patience.quietMs);
      return reader?.read().finally(() => clearTimeout(timer));
    };
    try {
      for (let next = await read(); next?.done === false; next = await read()) yield next.value;
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new UnreachableError(base, 'broke off', error);
    } finally {
      reader?.cancel().catch(() => undefined);
    }
    if (quiet) throw new UnreachableError(base, 'mute', null);
  }

  return { send, read, jsonOf, bytesOf, livelyBytesOf };
}

/** Of JSON and NDJSON in one piece. */
const lengthOf = (body: RequestInit['body']): number =>
  typeof body === 'string' || body instanceof Uint8Array ? body.length : 0;

/** An abort by the caller stays what it is; any other failure of fetch means that nobody answers, or not to the end. */
async function reach<Answer>(
  url: string,
  signal: AbortSignal | null | undefined,
  call: () => Promise<Answer>,
): Promise<Answer> {
  try {
    return await call();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new UnreachableError(url, whyOf(error), error);
  }
}

/** Whether a connection came about. A host with several addresses has a fault for each. */
function whyOf(error: unknown): UnreachableError['why'] {
  const { cause } = error as { cause?: unknown };
  const faults: unknown[] = cause instanceof AggregateError ? cause.errors : [cause];
  return faults.every(isSilent) ? 'silent' : 'broke off';
}

function isSilent(fault: unknown): boolean {
  const { syscall, code, message } = (fault ?? {}) as { syscall?: unknown; code?: unknown; message?: unknown };
  if (syscall === 'connect' || syscall === 'getaddrinfo' || code === 'UND_ERR_CONNECT_TIMEOUT') return true;
  // fetch does not even try the ports of some old services.
  return message === 'bad port';
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
