import { ApiError, UnreachableError } from './errors.ts';
import { type Problem, problemOf, problemSchema } from './problems.ts';

export type Transport = ReturnType<typeof createTransport>;

/** Requests to one service, whose every failure is an ApiError or an UnreachableError. */
export function createTransport(url: string, apiKey?: string) {
  const base = url.replace(/\/+$/, '');

  async function send(path: string, query: object = {}, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (apiKey !== undefined) headers.set('authorization', `Bearer ${apiKey}`);
    const response = await reach(base, init.signal, () =>
      fetch(`${base}${path}${queryText(query)}`, { ...init, headers }),
    );
    if (response.ok) return response;
    throw new ApiError(await readProblem(response, path));
  }

  async function read<Answer>(path: string, query?: object, init?: RequestInit): Promise<Answer> {
    return jsonOf(await send(path, query, init), init?.signal);
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

  return { send, read, jsonOf, bytesOf };
}

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
