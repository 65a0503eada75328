import { type LineFlush, type SettledRow, type Statements, suspectFrom, verdictOf } from '@bullpen/db';
import { crashPoint } from '@bullpen/runtime';
import { indexOfOutput } from '../fail-outputs.ts';
import type { Figures, FlushFigures } from '../figures.ts';
import { withoutGuilty } from '../guilty.ts';
import { reduceChunk } from '../reduce-chunk.ts';
import { type Marks, together } from '../watchdog/marks.ts';
import type { Held } from './line.ts';
import { type Row, settleRow } from './row.ts';

export interface FlushingDeps {
  statements: Pick<Statements, 'flushLine' | 'probe'>;
  figures: Figures;
  marks: Marks;
  flushMaxItems: number;
  sliceMaxBytes: number;
  sliceMs: number;
}

/** Rows of one statement: what it costs grows with their square from there on, 0.4 s for 2 000, 12 s for 10 000. */
const rowsMax = 500;
/** Rows of which only a part is new are not written more often than this. */
const partsEveryMs = 50;
/** The same where nothing else may start: else what was done beside a slow group would be known only after a slice. */
const idlePartsEveryMs = 100;

/** Writes what is new of the rows in hand, in one statement: or a row would overtake what ran before it in another. */
export function createFlushing(held: Held, letGo: (isOver: (row: Row) => boolean) => void, deps: FlushingDeps) {
  const { line, plan } = held;
  let flushedAt = performance.now();
  let wroteAllAt = flushedAt;
  /** None yet: the first row in hand is of the first claim. */
  let last: LineFlush['last'] | null = null;

  /**
   * Rows in which something is new, to the last one that is done: what comes after it may wait without being overtaken, and so a row is
   * written once instead of in parts, 11–20 % less log. Now and then, where none is done, and where nothing else may start, all of them.
   */
  function rowsToWrite(): Row[] {
    const dirty = held.rows.filter((row) => row.dirty);
    const done = dirty.findLastIndex((row) => row.left === 0) + 1;
    const now = performance.now();
    if (done > 0 && held.hand.isReady() && now - wroteAllAt < deps.sliceMs)
      return dirty.slice(0, Math.min(done, rowsMax));
    wroteAllAt = now;
    return dirty.slice(0, rowsMax);
  }

  /** Of a row that workers died with each output by itself: so it is known at which one this process ends. */
  async function reduce(row: SettledRow): Promise<SettledRow> {
    if (plan.handler.reduce === undefined || row.outputs === '') return reduceChunk(plan, row);
    // For its params. Where that was not done before, all items ran elsewhere.
    await plan.prepare(row.no);
    const enter = (item: number): void => deps.marks.enter(row.no, item, plan.timeoutMs);
    const onEach = (position: number): void => enter(indexOfOutput(row, position));
    const isSuspect = held.rows.some(({ held: { no, crashes } }) => no === row.no && crashes >= suspectFrom);
    if (isSuspect || row.succeeded === 1) onEach(0);
    else enter(together);
    const reduced = reduceChunk(plan, row, isSuspect ? onEach : undefined);
    deps.marks.leave();
    return reduced;
  }

  async function reduceAll(rows: readonly SettledRow[]): Promise<SettledRow[]> {
    const reduced: SettledRow[] = [];
    for (const row of rows) reduced.push(await reduce(row));
    return reduced;
  }

  /** Answers what was written; null: another has the line, or a part of it. */
  async function write(
    rows: readonly SettledRow[],
    keep: boolean,
    waitMs: number,
  ): Promise<readonly SettledRow[] | null> {
    const proof = last ?? asItIs(held.rows[0]!);
    const send = async (rows: readonly SettledRow[]): Promise<readonly SettledRow[] | null> => {
      const sent = { line: line.line, lease: line.lease, rows, last: proof, keep, waitMs };
      crashPoint('before-flush');
      const isWritten = await deps.statements.flushLine(sent);
      crashPoint('after-flush');
      return isWritten ? rows : null;
    };
    try {
      return await send(await reduceAll(rows));
    } catch (error) {
      if (verdictOf(error) !== 'value') throw error;
      const mended: SettledRow[] = [];
      for (const row of rows) mended.push(await withoutGuilty(row, deps.statements.probe));
      return await send(await reduceAll(mended));
    }
  }

  async function flush(rows: readonly Row[], keep: boolean, waitMs: number): Promise<void> {
    const { fresh } = held;
    const { retried } = fresh;
    const items = rows.reduce((sum, row) => sum + row.fresh.length, 0);
    fresh.items -= items;
    fresh.bytes -= rows.reduce((sum, row) => sum + row.run.bytes, 0);
    fresh.rows -= rows.filter((row) => row.dirty).length;
    fresh.retried = 0;
    flushedAt = performance.now();
    const settled = rows.map((row) => settleRow(row, flushedAt));
    const written = await write(settled, keep, waitMs);
    deps.figures.flushed(flushFigures(written, rows.length, retried), performance.now() - flushedAt);
    if (written === null) held.isFenced = true;
    for (const row of rows) row.round += 1;
    last = asItIs(rows[0]!);
  }

  /** From the first one on, so that none overtakes one before it. */
  async function putBack(rows: readonly Row[], waitMs: number): Promise<void> {
    for (let at = 0; at < rows.length && !held.isFenced; at += rowsMax)
      await flush(rows.slice(at, at + rowsMax), false, waitMs);
  }

  return {
    isDue(): boolean {
      const { fresh, rows } = held;
      if (fresh.rows === 0) return false;
      if (fresh.items >= deps.flushMaxItems || fresh.bytes >= deps.sliceMaxBytes) return true;
      const age = performance.now() - flushedAt;
      const done = rows.reduce((n, row) => n + (row.left === 0 ? 1 : 0), 0);
      const every = done > 0 ? partsEveryMs : held.hand.isReady() ? deps.sliceMs : idlePartsEveryMs;
      return done === fresh.rows || age >= every;
    },

    /** What is left stays in hand. */
    async flush(): Promise<void> {
      await flush(rowsToWrite(), true, 0);
      if (!held.isFenced) letGo((row) => row.left === 0 && !row.dirty);
    },

    /** The end of the turn: what is left waits for the next one, until `waitMs` are over. */
    giveBack: (waitMs: number): Promise<void> => putBack(held.rows, waitMs),

    /** All but the first row goes back. Where that is in a hand, nobody looks at the line (mark-lines.ts). Nothing may be new. */
    async keepFirst(): Promise<void> {
      const [first, ...others] = held.rows;
      await putBack(others, 0);
      if (!held.isFenced) letGo((row) => row !== first);
    },
  };
}

/** Of the rows of one statement, all or none of which were ours. */
function flushFigures(written: readonly SettledRow[] | null, rows: number, retried: number): FlushFigures {
  if (written === null) return { chunks: 0, succeeded: 0, failed: 0, retried: 0, fenced: rows };
  const succeeded = written.reduce((sum, row) => sum + row.succeeded, 0);
  const failed = written.reduce((sum, row) => sum + row.failures.length, 0);
  return { chunks: written.filter(({ left }) => left === null).length, succeeded, failed, retried, fenced: 0 };
}

const asItIs = ({ held: { no, claim }, round }: Row): LineFlush['last'] => ({ no, claim, round });
