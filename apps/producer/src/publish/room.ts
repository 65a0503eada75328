import type { Window } from '@bullpen/db';

/** Chunks that may be marked for workers which know the same handlers: the partition of each, in order. */
export interface Room {
  handlers: string[];
  slots: number[];
  /** The same for lines, each of which has its partition already: so many of each where its owner has room at all. */
  lines: number[];
  /** Beyond the room: for batches that have less in flight than their share, and would else wait for a window to run empty. */
  spare: number[];
}

/** Chunks of one partition in BullMQ at most, for each worker that serves it. */
export const windowMax = 64;

/**
 * Chunks that a worker should have queued and running, over all its partitions: what it settles in half a second and in
 * the time from mark to flush, and at least what it can hold at once and two more. More would only bind chunks to a
 * worker that others could run. Those that wait for what limits their batch take no place of others.
 */
export function windowOf(worker: {
  chunksMax: number;
  chunksAside?: number;
  chunksPerSecond: number;
  turnaroundMs: number;
}): number {
  const byRate = worker.chunksPerSecond * (0.5 + Math.min(worker.turnaroundMs, 2000) / 1000);
  return Math.max(worker.chunksMax + 2, Math.ceil(byRate)) + (worker.chunksAside ?? 0);
}

/**
 * Where there is room now. Slots go round the workers, and to the partition of each that holds least, so that equal
 * workers get equal shares and all get their first chunk before any gets its second. Who has most of its window free
 * comes first: in the order of the partitions the owner of the first got 1.4 times the work of the others while chunks
 * came back one by one, at the end of a batch. An owner and its helpers serve the same partitions: they count as so many
 * workers in one.
 */
export function findRoom(windows: readonly Window[], withSpare = false): Room[] {
  const rooms = new Map<string, Room>();
  const groups = [...groupByOwner(windows).values()].sort((a, b) => b.free / b.window - a.free / a.window);
  const roomOf = ({ handlers }: Group): Room => {
    const key = handlers.join('\n');
    let room = rooms.get(key);
    if (room === undefined) rooms.set(key, (room = { handlers, slots: [], lines: [], spare: [] }));
    return room;
  };
  for (const group of groups) {
    const each = Math.ceil(Math.max(0, group.free) / group.partitions.length);
    for (const { no } of group.partitions) for (let n = 0; n < each; n += 1) roomOf(group).lines.push(no);
  }
  for (let found = true; found;) {
    found = false;
    for (const group of groups) {
      for (let turn = 0; turn < group.workers; turn += 1) {
        const least = group.partitions.reduce((a, b) => (b.held < a.held ? b : a));
        if (group.free <= 0 || least.held >= windowMax * group.workers + group.aside) break;
        roomOf(group).slots.push(least.no);
        group.free -= 1;
        least.held += 1;
        found = true;
      }
    }
  }
  // By now each group is full, or over by what it holds too much: up to a window more.
  for (const group of withSpare ? groups : []) {
    for (let more = group.window + Math.min(0, group.free); more > 0; more -= 1) {
      const least = group.partitions.reduce((a, b) => (b.held < a.held ? b : a));
      if (least.held >= 2 * windowMax * group.workers) break;
      roomOf(group).spare.push(least.no);
      least.held += 1;
    }
  }
  return [...rooms.values()];
}

/** Chunks that should be queued and running, by partition: an equal part of what its owner and the helpers of that ask for. */
export function windowsOf(windows: readonly Window[]): Map<number, number> {
  const groups = [...groupByOwner(windows).values()];
  return new Map(
    groups.flatMap(({ window, partitions }) => partitions.map(({ no }) => [no, window / partitions.length])),
  );
}

/** An owner with its helpers, who know all of its handlers. */
interface Group {
  workers: number;
  handlers: string[];
  /** Of all of them, and what is free of it; less than nothing where a window has shrunk. */
  window: number;
  free: number;
  /** Chunks that wait for what limits their batch. */
  aside: number;
  partitions: { no: number; held: number }[];
}

function groupByOwner(windows: readonly Window[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const { owner, partition, queued, running } of windows) {
    if (owner === null) continue;
    let found = groups.get(owner.id);
    if (found === undefined) {
      const members = [owner.facts, ...owner.helpers];
      const aside = members.reduce((sum, { chunksAside = 0 }) => sum + chunksAside, 0);
      const window = members.reduce((sum, facts) => sum + windowOf(facts), 0);
      const handlers = [...owner.handlers].sort();
      found = { workers: members.length, handlers, window, free: window, aside, partitions: [] };
      groups.set(owner.id, found);
    }
    found.free -= queued + running;
    found.partitions.push({ no: partition, held: queued + running });
  }
  return groups;
}
