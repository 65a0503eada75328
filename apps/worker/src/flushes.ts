import { type Settled, type Statements, verdictOf } from '@bullpen/db';
import { crashPoint } from '@bullpen/runtime';
import type { Figures, FlushFigures } from './figures.ts';
import { withoutGuilty } from './guilty.ts';

/** Two statements that the server works at are as fast as three; one leaves it idle while the next is built. */
const inFlightFirst = 2;

export interface FlushesDeps {
  statements: Pick<Statements, 'flush' | 'probe'>;
  maxItems: number;
  maxBytes: number;
  intervalMs: number;
  /** Chunks that this worker has in hand: those that wait here, and those that may still come. */
  inHand: () => number;
  figures: Figures;
}

interface Waiting {
  settled: Settled;
  /** Its place in the fair order. */
  order: number;
  /** That its items were on. */
  attempt: number;
  /** Makes its partial anew when items of it had to fail. */
  reduce: (settled: Settled) => Settled;
  resolve: (mine: boolean) => void;
  reject: (error: unknown) => void;
}

/**
 * Flushes settled chunks, many in one statement: when `maxItems` or `maxBytes` have come together, or `intervalMs` after
 * the first of them; and at once where nothing else is in hand for which to wait. Back-pressure is the number of chunks a
 * worker may hold: a chunk is held until it is flushed.
 */
export function createFlushes(deps: FlushesDeps) {
  let waiting: Waiting[] = [];
  let items = 0;
  let bytes = 0;
  let timer: NodeJS.Timeout | null = null;
  let inFlight = 0;
  /** Chunks in these statements. */
  let flying = 0;
  let inFlightMax = inFlightFirst;
  let times: number[] = [];

  function pump(): void {
    if (waiting.length === 0 || inFlight >= inFlightMax) return;
    const full = items >= deps.maxItems || bytes >= deps.maxBytes;
    const isAll = waiting.length + flying >= deps.inHand();
    if (full || isAll) return void send();
    timer ??= setTimeout(() => {
      timer = null;
      if (inFlight < inFlightMax) void send();
    }, deps.intervalMs);
  }

  async function send(): Promise<void> {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const batch = cut();
    if (batch.length === 0) return;
    inFlight += 1;
    flying += batch.length;
    try {
      await settle(batch);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      inFlight -= 1;
      flying -= batch.length;
      pump();
    }
  }

  /** Takes from the front what fits into one statement, at least one chunk. */
  function cut(): Waiting[] {
    let [itemsTaken, bytesTaken, n] = [0, 0, 0];
    while (n < waiting.length && (n === 0 || (itemsTaken < deps.maxItems && bytesTaken < deps.maxBytes))) {
      itemsTaken += sizeOf(waiting[n]!.settled);
      bytesTaken += bytesOf(waiting[n]!.settled);
      n += 1;
    }
    items -= itemsTaken;
    bytes -= bytesTaken;
    return waiting.splice(0, n);
  }

  async function settle(batch: readonly Waiting[]): Promise<void> {
    const started = performance.now();
    try {
      crashPoint('before-flush');
      const rows = await deps.statements.flush(batch.map((each) => each.settled));
      crashPoint('after-flush');
      const mine = new Set(rows.map((row) => row.no));
      const ms = performance.now() - started;
      times.push(ms);
      const done = batch.filter(({ settled }) => mine.has(settled.no));
      deps.figures.flushed(flushFigures(done, batch.length - done.length), ms);
      for (const { settled, resolve } of batch) resolve(mine.has(settled.no));
    } catch (error) {
      if (verdictOf(error) !== 'value') throw error;
      await settleApart(batch);
    }
  }

  /** The database refuses some value: each chunk alone, and in a chunk that it refuses only the guilty items fail. */
  async function settleApart(batch: readonly Waiting[]): Promise<void> {
    if (batch.length > 1) {
      for (const each of batch) await settle([each]);
      return;
    }
    const [each] = batch as [Waiting];
    await settle([{ ...each, settled: each.reduce(await withoutGuilty(each.settled, deps.statements.probe)) }]);
  }

  return {
    /**
     * Resolves after the commit: true when this worker settled the chunk, false when another claim holds it by now.
     * `reduce` gives a chunk its partial; it is asked again when the database refuses outputs. Lower orders go first: at full rate a
     * chunk waits for seven flushes of others.
     */
    flush: (chunk: Settled, reduce: (settled: Settled) => Settled, order = Infinity, attempt = 1): Promise<boolean> =>
      new Promise((resolve, reject) => {
        const settled = reduce(chunk);
        const before = waiting.findLastIndex((each) => each.order <= order) + 1;
        waiting.splice(before, 0, { settled, order, attempt, reduce, resolve, reject });
        items += sizeOf(settled);
        bytes += bytesOf(settled);
        pump();
      }),
    /** Statements that may be in flight. */
    get max(): number {
      return inFlightMax;
    },
    resize(to: number): void {
      inFlightMax = to;
      pump();
    },
    /** Mean time of the statements since the last time; null: there were none. */
    takeMeanMs(): number | null {
      const taken = times;
      times = [];
      return taken.length === 0 ? null : taken.reduce((sum, ms) => sum + ms, 0) / taken.length;
    },
  };
}

export type Flushes = ReturnType<typeof createFlushes>;

/** Of the chunks of one statement that were ours. */
function flushFigures(done: readonly Waiting[], fenced: number): FlushFigures {
  const all = { chunks: done.length, succeeded: 0, failed: 0, retried: 0, fenced };
  for (const { settled, attempt } of done) {
    all.succeeded += settled.succeeded;
    all.failed += settled.failures.length;
    for (const rest of settled.rests) if (rest.attempt > attempt) all.retried += rest.size;
  }
  return all;
}

const sizeOf = (settled: Settled): number => settled.succeeded + settled.failures.length;

const bytesOf = ({ outputs, partial }: Settled): number => outputs.length + (partial?.length ?? 0);
