import type { Handler } from '@bullpen/handlers';
import type { Log } from '@bullpen/runtime';
import { createSlots } from '../slots.ts';
import { type Ending, openThread, type Task, type Thread, type ThreadFacts } from './thread-link.ts';
import { threadFile } from './thread-file.ts';

export interface ThreadsOptions extends Omit<ThreadFacts, 'handler'> {
  leaseMs: number;
  log: Log;
  /** A thread that has nothing to do ends after this long. */
  keepMs?: number;
  /** Built file of the thread. */
  file?: URL;
}

/** One of the `threads` of a handler, taken for a chunk. */
export interface Place {
  /** Its thread is there. */
  ready: () => Promise<void>;
  /** Starts the thread where there is none, or none any more. */
  run: (task: Task) => Promise<Ending>;
  release: () => void;
}

/**
 * The threads that chunks run in, at most `threads` of a handler. They start when there is a chunk for them, one after the
 * other, and end when there was none for a while.
 */
export function createThreads(options: ThreadsOptions) {
  const lanes = new Map<string, ReturnType<typeof createLane>>();

  return {
    /** A place for a chunk of this handler, older ones (`order`) first; null when it was gone before there was one. */
    take(handler: Handler, order: number, gone: () => boolean): Promise<Place | null> {
      let lane = lanes.get(handler.name);
      if (lane === undefined) lanes.set(handler.name, (lane = createLane(handler, options)));
      return lane.take(order, gone);
    },
    /** Threads that are there. */
    size: (): number => [...lanes.values()].reduce((sum, lane) => sum + lane.size(), 0),
    /** Chunks of a partition that is being given up, or of a worker that drains: those that wait go, the others start no more items. */
    dismiss(): void {
      for (const lane of lanes.values()) lane.dismiss();
    },
    /** After the last chunk. */
    close: async (): Promise<void> => void (await Promise.all([...lanes.values()].map((lane) => lane.close()))),
  };
}

/** A thread should end at once when it is told to. */
const lateMs = 10_000;

export type Threads = ReturnType<typeof createThreads>;

function createLane(handler: Handler, { leaseMs, log, keepMs = 60_000, file = threadFile, ...facts }: ThreadsOptions) {
  const open = (): Thread => {
    log.debug({ handler: handler.name }, 'a thread starts');
    return openThread(file, { ...facts, handler: handler.name }, leaseMs);
  };
  /** What is in a call of the operating system ends when that does. */
  const end = async (thread: Thread): Promise<void> => {
    const late = setTimeout(
      () => log.error({ handler: handler.name }, 'a thread does not end: its place waits'),
      lateMs,
    );
    await thread.close();
    clearTimeout(late);
  };
  const slots = createSlots(handler.threads!);
  const seats = Array.from({ length: slots.max }, () => createSeat(open, end, keepMs));
  /** The one that was used last is the last: so those that are not needed end. */
  const free = [...seats];

  return {
    async take(order: number, gone: () => boolean): Promise<Place | null> {
      while (slots.free <= 0 && !gone()) await slots.wait(order, gone);
      if (gone()) {
        slots.pass();
        return null;
      }
      slots.take();
      const seat = free.pop()!;
      const release = (): void => {
        free.push(seat);
        seat.rest();
        slots.release();
      };
      return { ready: () => seat.ready(), run: (task) => seat.run(task), release };
    },
    size: (): number => seats.filter((seat) => seat.isThere()).length,
    dismiss(): void {
      slots.dismiss();
      for (const seat of seats) seat.tell();
    },
    close: (): Promise<unknown> => Promise.all(seats.map((seat) => seat.close())),
  };
}

/** Has one thread at most, also while the last one has not ended yet. */
function createSeat(open: () => Thread, end: (thread: Thread) => Promise<void>, keepMs: number) {
  let thread: Thread | null = null;
  let idle: NodeJS.Timeout | undefined;
  const isThere = (): boolean => thread !== null && !thread.isOver();
  async function close(): Promise<void> {
    clearTimeout(idle);
    if (thread !== null) await end(thread);
  }

  async function prepare(): Promise<Thread> {
    clearTimeout(idle);
    if (thread?.isOver()) await end(thread);
    if (!isThere()) thread = open();
    return thread!;
  }

  return {
    ready: async (): Promise<void> => (await prepare()).ready(),
    run: async (task: Task): Promise<Ending> => (await prepare()).run(task),
    /** Until the next chunk. */
    rest: (): void => void (idle = setTimeout(() => void close(), keepMs).unref()),
    isThere,
    tell: (): void => thread?.tell(),
    close,
  };
}
