import type { Window } from '@bullpen/db';

/** Chunks that may be marked for workers which know the same handlers: the partition of each, in order. */
export interface Room {
  handlers: string[];
  slots: number[];
}

/** Chunks of one partition in BullMQ at most, for each worker that serves it. */
export const windowMax = 64;

/**
 * Chunks that a worker should have queued and running, over all its partitions: what it settles in half a second and in
 * the time from mark to flush, and at least what it can hold at once and two more. More would only bind chunks to a
 * worker that others could run.
 */
export function windowOf(worker: { chunksMax: number; chunksPerSecond: number; turnaroundMs: number }): number {
  const byRate = worker.chunksPerSecond * (0.5 + Math.min(worker.turnaroundMs, 2000) / 1000);
  return Math.max(worker.chunksMax + 2, Math.ceil(byRate));
}

/**
 * Where there is room now. Slots go round the workers, and to the partition of each that holds least, so that equal
 * workers get equal shares and all get their first chunk before any gets its second. An owner and its helpers serve the
 * same partitions: they count as so many workers in one.
 */
export function findRoom(windows: readonly Window[]): Room[] {
  const rooms = new Map<string, Room>();
  const groups = [...groupByOwner(windows).values()];
  for (let found = true; found;) {
    found = false;
    for (const group of groups) {
      for (let turn = 0; turn < group.workers; turn += 1) {
        const least = group.partitions.reduce((a, b) => (b.held < a.held ? b : a));
        if (group.free <= 0 || least.held >= windowMax * group.workers) break;
        const key = group.handlers.join('\n');
        let room = rooms.get(key);
        if (room === undefined) rooms.set(key, (room = { handlers: group.handlers, slots: [] }));
        room.slots.push(least.no);
        group.free -= 1;
        least.held += 1;
        found = true;
      }
    }
  }
  return [...rooms.values()];
}

/** An owner with its helpers, who know all of its handlers. */
interface Group {
  workers: number;
  handlers: string[];
  free: number;
  partitions: { no: number; held: number }[];
}

function groupByOwner(windows: readonly Window[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const { owner, partition, queued, running } of windows) {
    if (owner === null) continue;
    let found = groups.get(owner.id);
    if (found === undefined) {
      const members = [owner.facts, ...owner.helpers];
      const free = members.reduce((sum, facts) => sum + windowOf(facts), 0);
      found = { workers: members.length, handlers: [...owner.handlers].sort(), free, partitions: [] };
      groups.set(owner.id, found);
    }
    found.free -= queued + running;
    found.partitions.push({ no: partition, held: queued + running });
  }
  return groups;
}
