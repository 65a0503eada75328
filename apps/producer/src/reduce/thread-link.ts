import { Worker } from 'node:worker_threads';
import type { ErrorFacts } from '@bullpen/runtime';
import type { Asked } from './reducer.ts';

/** What goes to the thread, and what it answers to the request of that number. */
export type Request = Asked & { id: number };
export type Answer = { id: number; text: string } | { id: number; error: string; place: ErrorFacts };

/** `reduce` of a handler failed: threw, did not end in time, or ended its thread. Its words may hold outputs; `place` is for the log. */
export class ReduceFailed extends Error {
  readonly place: ErrorFacts;
  constructor(message: string, place: ErrorFacts) {
    super(message);
    this.place = place;
  }
}
/** The thread is of no use any more. */
export class ThreadLost extends Error {}

/** Loading handlers may take this long on a busy machine. */
const startMs = 30_000;
/** Of the thread's heap: what is merged at once has 4 MiB. */
const heapMb = 256;

export interface Thread {
  /** One request at a time. Rejects with ReduceFailed when it was refused, with ThreadLost when no answer came back. */
  ask: (asked: Asked, withinMs: number) => Promise<string>;
  close: () => Promise<unknown>;
}

/** Starts a thread (thread.ts). Its time for a request counts from when it has loaded. */
export function openThread(file: URL, folders: readonly string[]): Thread {
  const limits = { maxOldGenerationSizeMb: heapMb };
  const worker = new Worker(file, { name: 'reduce', workerData: folders, resourceLimits: limits });
  worker.unref();
  let why = 'reduce ended its thread';
  worker.on('error', (error: Error) => (why += `: ${error.message}`));
  const ended = heard(worker, 'exit').then((): never => {
    throw new ThreadLost(why);
  });
  ended.catch(() => undefined);
  const ready = heard(worker, 'message');
  let asked = 0;

  async function answerTo(id: number): Promise<string> {
    for (;;) {
      const answer = (await heard(worker, 'message')) as Answer | null;
      // A handler can post messages of its own.
      if (answer?.id !== id) continue;
      if ('error' in answer) throw new ReduceFailed(answer.error, answer.place);
      return answer.text;
    }
  }

  return {
    async ask(request, withinMs): Promise<string> {
      await within(startMs, Promise.race([ready, ended])).catch((error: Error) => {
        // No batch is to blame: its files may be gone, or memory.
        throw new Error(`the thread that reduces does not start: ${error.message}`);
      });
      const id = (asked += 1);
      const answer = answerTo(id);
      worker.postMessage({ ...request, id } satisfies Request);
      return within(withinMs, Promise.race([answer, ended]));
    },
    close: () => worker.terminate(),
  };
}

/** The next event of that name; `once` of node:events would reject at an 'error' before it. */
const heard = (worker: Worker, event: 'message' | 'exit'): Promise<unknown> =>
  new Promise((resolve) => worker.once(event, resolve));

async function within<Value>(ms: number, value: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ThreadLost(`reduce took longer than ${ms} ms`)), ms);
  });
  return Promise.race([value, late]).finally(() => clearTimeout(timer));
}
