import { openThread, ReduceFailed, ThreadLost, type Thread } from './thread-link.ts';
import { threadFile } from './thread-file.ts';

/** Accumulators of one batch as JSON texts, at least one, to be merged; with `summary`, the summary of them is asked for. */
export interface Asked {
  handler: string;
  texts: readonly string[];
  summary?: { params: unknown };
}

export interface ReducerOptions {
  /** Where the handlers are. */
  folders: readonly string[];
  /** What one request may take. A merge of 500 accumulators takes milliseconds. */
  limitMs?: number;
  /** A thread that nobody asks ends after this long. */
  keepMs?: number | undefined;
  /** Built file of the thread. */
  file?: URL;
}

/**
 * `merge` and `summary` of handlers, each handler in a thread of its own: what loops, throws late or fills memory there costs
 * its batch the summary, not the producer its loop and not other handlers theirs. A thread starts with the first request, and
 * anew after one that it did not survive.
 */
export function createReducer(options: ReducerOptions) {
  const lanes = new Map<string, ReturnType<typeof createLane>>();

  return {
    /**
     * The merged accumulator, or the summary, as JSON text; one request of a handler at a time. Rejects with
     * ReduceFailed where the handler is to blame, with another error where the thread does not start.
     */
    ask(asked: Asked): Promise<string> {
      let lane = lanes.get(asked.handler);
      if (lane === undefined) lanes.set(asked.handler, (lane = createLane(options)));
      return lane.ask(asked);
    },
    close: async (): Promise<void> => void (await Promise.all([...lanes.values()].map((lane) => lane.close()))),
  };
}

export type Reducer = ReturnType<typeof createReducer>;

/** The requests of one handler, one after the other. */
function createLane({ folders, limitMs = 10_000, keepMs = 60_000, file = threadFile }: ReducerOptions) {
  let thread: Thread | null = null;
  let last: Promise<unknown> = Promise.resolve();
  let idle: NodeJS.Timeout | undefined;

  async function close(): Promise<void> {
    clearTimeout(idle);
    const closing = thread;
    thread = null;
    await closing?.close();
  }

  async function askOnce(asked: Asked): Promise<string> {
    thread ??= openThread(file, folders);
    try {
      return await thread.ask(asked, limitMs);
    } catch (error) {
      if (!(error instanceof ReduceFailed)) await close();
      throw error;
    }
  }

  /** What a used thread was lost by may have been left there by the request before: a new one tells. */
  async function askTwice(asked: Asked): Promise<string> {
    clearTimeout(idle);
    const isNew = thread === null;
    try {
      return await askOnce(asked).catch((error: unknown) => {
        if (error instanceof ThreadLost && !isNew) return askOnce(asked);
        throw error;
      });
    } catch (error) {
      throw error instanceof ThreadLost ? new ReduceFailed(error.message, { error: 'the thread was lost' }) : error;
    } finally {
      idle = setTimeout(() => void close(), keepMs).unref();
    }
  }

  return {
    ask(asked: Asked): Promise<string> {
      const answer = last.then(() => askTwice(asked));
      last = answer.catch(() => undefined);
      return answer;
    },
    close,
  };
}
