import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchAnswer } from '../house.ts';
import { eventually } from '../eventually.ts';

/** What a client asked for under one Idempotency-Key, which is its batch's name too, and what it was told. */
export interface Call {
  key: string;
  total: number;
  /** In the order in which they came; status 0 is a connection that broke: it may have been accepted. */
  answers: { status: number; id: string | null; at: number }[];
  /** Null: it was never accepted. */
  id: string | null;
  /** The end that was read, and the counts with it: they stay so. */
  ended: BatchAnswer | null;
}

interface Answer {
  status: number;
  body: { id?: string } & Partial<BatchAnswer>;
}

/** Answers after which the same request under the same key makes sense: nobody knows, it is being stored, or try later. */
const isOpen = ({ status }: Answer): boolean => status === 0 || status === 409 || status === 429 || status >= 500;

/**
 * A client that writes down all that it was told. After an answer that leaves it in doubt it asks again with the same key.
 * `faults` has a line for each answer that may not be: counts that do not sum up, a problem that tells of the inside.
 */
export function openClient(url: () => string) {
  const calls: Call[] = [];
  const faults: string[] = [];

  async function ask(path: string, init: RequestInit = {}): Promise<Answer> {
    const signal = AbortSignal.timeout(10_000);
    const response = await fetch(url() + path, { ...init, signal }).catch(() => null);
    if (response === null) return { status: 0, body: {} };
    const text = await response.text().catch(() => null);
    if (text === null) return { status: 0, body: {} };
    if (!response.ok) faults.push(...faultsOf(path, response, text));
    return { status: response.status, body: parsed(text) as Answer['body'] };
  }

  const post = (path: string, headers: Record<string, string>, body: string): Promise<Answer> =>
    ask(path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });

  async function read(id: string): Promise<BatchAnswer | null> {
    const { status, body } = await ask(`/v1/batches/${id}`);
    if (status !== 200) return null;
    const { total, pending, running, succeeded, failed, cancelled } = body.counts!;
    if (pending + running + succeeded + failed + cancelled !== total)
      faults.push(`I2 ${id}: counts do not sum up: ${JSON.stringify(body.counts)}`);
    return body as BatchAnswer;
  }

  interface Body extends Record<string, unknown> {
    count?: number;
    inputs?: unknown[];
  }

  /** A new call in the journal, and how to ask for it. */
  function open(body: Body) {
    const key = `key-${randomUUID()}`;
    const call: Call = { key, total: body.count ?? body.inputs?.length ?? 0, answers: [], id: null, ended: null };
    calls.push(call);
    const text = JSON.stringify({ ...body, name: key });
    const once = async (): Promise<Answer> => {
      const answer = await post('/v1/batches', { 'idempotency-key': key }, text);
      const id = answer.body.id ?? null;
      call.answers.push({ status: answer.status, id, at: performance.now() });
      if (answer.status === 202) call.id = id;
      return answer;
    };
    return { call, once };
  }

  return {
    calls,
    faults,
    ask,
    read,

    /** Submits, and does not ask again. Answers the status; 0: the connection broke. */
    tryOnce: async (body: Body): Promise<number> => (await open(body).once()).status,

    /** Submits, and asks until it is told. Throws where it is refused. */
    async submit(body: Body, withinMs = 30_000) {
      const { call, once } = open(body);
      return await eventually(
        `${call.key} is accepted`,
        async () => {
          const answer = await once();
          if (answer.status === 202) return call.id;
          if (!isOpen(answer)) throw new Error(`refused: ${answer.status} ${JSON.stringify(answer.body)}`);
          await sleep(100);
          return null;
        },
        withinMs,
      );
    },

    /** Waits for the end of all that was accepted, which are told in the journal from then on. */
    async settle(withinMs = 30_000): Promise<void> {
      for (const call of calls) {
        const { id } = call;
        if (id === null || call.ended !== null) continue;
        call.ended = await eventually(
          `${call.key} ends`,
          async () => {
            const found = await read(id);
            return found !== null && ['completed', 'cancelled'].includes(found.state) && found;
          },
          withinMs,
        );
      }
    },

    /** `cancel`, `pause`, `resume` or `retry`. True: it was told that it is done. */
    async control(id: string, action: string): Promise<boolean> {
      const { status } = await post(`/v1/batches/${id}/${action}`, {}, '');
      return status === 200 || status === 202;
    },
  };
}

export type Client = ReturnType<typeof openClient>;

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
};

/** What no answer may hold: a stack, a statement, what stands for a parameter. */
const inside =
  /\bat .*\.[cm]?[jt]s:\d|node_modules|\bselect ["\w]|\binsert into|\bupdate ["\w]+ set|\bdelete from|failed query|params:|\$\d/i;

function faultsOf(path: string, { status, headers }: Response, text: string): string[] {
  const isProblem = headers.get('content-type') === 'application/problem+json' && typeof parsed(text) === 'object';
  const words = JSON.stringify(parsed(text)).replaceAll('\\n', '\n').replaceAll('\\"', '"');
  const isMeant = isProblem && !inside.test(words) && status !== 500;
  return isMeant ? [] : [`I11 ${path}: ${status} ${text.slice(0, 200)}`];
}
