import { Worker } from 'node:worker_threads';
import { threadFile } from './thread-file.ts';

/** Accumulators of one batch as JSON texts, at least one, to be merged; with `summary`, the summary of them is asked for. */
export interface Asked {
  handler: string;
  texts: readonly string[];
  summary?: { params: unknown };
}

export type Reduced = { text: string } | { error: string };

export interface ReducerOptions {
  /** Where the handlers are. */
  folders: readonly string[];
  /** What one request may take. A merge of 500 accumulators takes milliseconds. */
  limitMs?: number;
  /** Built file of the thread. */
  file?: URL;
}

/** `reduce` of a handler failed: threw, did not end in time, or ended its thread. */
export class ReduceFailed extends Error {}
class ThreadEnded extends ReduceFailed {}

/** Loading handlers may take this long on a busy machine. */
const startMs = 30_000;
/** Of the thread's heap: what is merged at once has 4 MiB. */
const heapMb = 256;

/**
 * `merge` and `summary` of handlers, in a thread: what loops, throws late or fills memory there costs its batch the summary,
 * not the producer its loop. The thread starts with the first request, and anew after one that it did not survive.
 */
export function createReducer({ folders, limitMs = 10_000, file = threadFile }: ReducerOptions) {
  let thread: Promise<Worker> | null = null;
  let last: Promise<unknown> = Promise.resolve();

  function open(): Promise<Worker> {
    const limits = { maxOldGenerationSizeMb: heapMb };
    const worker = new Worker(file, { name: 'reduce', workerData: folders, resourceLimits: limits });
    const opened = heard(worker, startMs).then(() => worker);
    worker.unref();
    // An error of which `heard` does not hear: its end follows.
    worker.on('error', () => undefined);
    worker.once('exit', () => void (thread === opened && (thread = null)));
    return opened;
  }

  async function askOnce(asked: Asked): Promise<string> {
    const worker = await (thread ??= open());
    const answer = heard<Reduced>(worker, limitMs);
    worker.postMessage(asked);
    const reduced = await answer;
    if ('error' in reduced) throw new ReduceFailed(reduced.error);
    return reduced.text;
  }

  /** What ended the thread may have been left there by an earlier request. */
  const askTwice = (asked: Asked): Promise<string> =>
    askOnce(asked).catch((error: unknown) => {
      if (error instanceof ThreadEnded) return askOnce(asked);
      throw error;
    });

  return {
    /** The merged accumulator, or the summary, as JSON text; one request at a time. Rejects with ReduceFailed. */
    ask(asked: Asked): Promise<string> {
      const answer = last.then(() => askTwice(asked));
      last = answer.catch(() => undefined);
      return answer;
    },
    async close(): Promise<void> {
      await (await thread?.catch(() => null))?.terminate();
    },
  };
}

export type Reducer = ReturnType<typeof createReducer>;

/** The next message of the thread. Rejects when it ends instead, or says nothing in time: then it is gone. */
function heard<Message>(worker: Worker, withinMs: number): Promise<Message> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: Message): void => {
      clear();
      resolve(message);
    };
    const onError = (error: Error): void => end(new ThreadEnded(`reduce ended its thread: ${error.message}`));
    const onExit = (): void => end(new ThreadEnded('reduce ended its thread'));
    const timer = setTimeout(() => end(new ReduceFailed(`reduce took longer than ${withinMs} ms`)), withinMs);
    const clear = (): void => {
      clearTimeout(timer);
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
    };
    const end = (why: Error): void => {
      clear();
      void worker.terminate().then(() => reject(why));
    };
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
  });
}
