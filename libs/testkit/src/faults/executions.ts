import { readFile } from 'node:fs/promises';

/** A run of an item, as the handler `journaled` wrote it down. `start` and `end` are places in one order for all processes. */
export interface Execution {
  batch: string;
  index: number;
  attempt: number;
  run: string;
  pid: number;
  start: number;
  /** By the machine's clock, in ms. */
  startedAt: number;
  /** Null: its process ended first. */
  end: number | null;
  /** As `startedAt`. */
  endedAt: number | null;
}

/** A time in which a run may have been for nothing, by the machine's clock in ms: when something was wrong. */
export interface Window {
  from: number;
  to: number;
  /** Only runs of this process. */
  pid?: number;
}

/** All that a file of `journaled` tells. */
export async function readExecutions(file: string): Promise<Execution[]> {
  const byRun = new Map<string, Execution>();
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean);
  for (const [at, line] of lines.entries()) {
    const [phase, itemKey = '', attempt, run = '', pid, time] = line.split(' ');
    const [batch = '', index] = itemKey.split(':');
    const known = byRun.get(run);
    if (known !== undefined) Object.assign(known, { end: at, endedAt: Number(time) });
    else if (phase === 'start')
      byRun.set(run, {
        batch, index: Number(index), attempt: Number(attempt), run, pid: Number(pid), start: at, startedAt: Number(time), end: null, endedAt: null,
      }); // prettier-ignore
  }
  return [...byRun.values()];
}

/** Runs of an item beyond its first, each with those before it. */
export function repeatsOf(executions: readonly Execution[]): { repeat: Execution; before: Execution[] }[] {
  const byItem = new Map<string, Execution[]>();
  return executions.flatMap((repeat) => {
    const item = `${repeat.batch}:${repeat.index}`;
    const before = byItem.get(item) ?? [];
    byItem.set(item, [...before, repeat]);
    return before.length === 0 ? [] : [{ repeat, before }];
  });
}

/** What has run may wait so long for its flush, and a flush so long for the disk. */
const unsettledMs = 1000;

/** Whether this run may have been for nothing: it was under way in one of these times, or not yet kept when that began. */
export const isIn = ({ startedAt, endedAt, pid }: Execution, windows: readonly Window[]): boolean =>
  windows.some(
    (window) =>
      startedAt <= window.to &&
      (endedAt ?? Infinity) >= window.from - unsettledMs &&
      (window.pid === undefined || window.pid === pid),
  );
