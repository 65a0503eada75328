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
}

/** All that a file of `journaled` tells. */
export async function readExecutions(file: string): Promise<Execution[]> {
  const byRun = new Map<string, Execution>();
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean);
  for (const [at, line] of lines.entries()) {
    const [phase, itemKey = '', attempt, run = '', pid, time] = line.split(' ');
    const [batch = '', index] = itemKey.split(':');
    if (phase === 'end') byRun.get(run)!.end = at;
    else
      byRun.set(run, {
        batch, index: Number(index), attempt: Number(attempt), run, pid: Number(pid), start: at, startedAt: Number(time), end: null,
      }); // prettier-ignore
  }
  return [...byRun.values()];
}

/** Runs beyond the first of the same attempt of the same item. */
export const repeatsOf = (executions: readonly Execution[]): number =>
  executions.length - new Set(executions.map(({ batch, index, attempt }) => `${batch}:${index}:${attempt}`)).size;
