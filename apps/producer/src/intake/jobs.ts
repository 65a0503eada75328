import { newId } from '@bullpen/api';
import { KeyTaken, type NewJob, type Placed, type Statements } from '@bullpen/db';
import { effectiveOptions } from './new-batch.ts';
import { HttpProblem } from '../http/problem.ts';

/** Items of all handlers that wait for a commit; more are refused. */
const waitingMax = 20_000;
/** Groups of one owner and handler that are under way: they lock the same batch, one after the other. */
const groupsMax = 2;

export interface JobSettings {
  batchMaxSize: number;
  batchMaxDelayMs: number;
  batchAutoEnabled: boolean;
  chunkMaxBytes: number;
}

interface Waiter {
  job: NewJob;
  bytes: number;
  since: number;
  resolve: (placed: Placed) => void;
  reject: (error: unknown) => void;
}

export type Jobs = ReturnType<typeof createJobs>;

/**
 * Gathers single items per owner and handler: an item that comes alone is stored at once, and while that commits the next ones gather, up
 * to `batchMaxSize` or for `batchMaxDelayMs`. Each group is one statement and one chunk, and each item is answered
 * when its group has committed.
 */
export function createJobs(deps: { statements: Pick<Statements, 'appendJobs' | 'rollJobs'>; settings: JobSettings }) {
  const { settings } = deps;
  const lanes = new Map<string, ReturnType<typeof createLane>>();
  let waiting = 0;
  return {
    /** Where the item is, after its commit. */
    async add({ owner, handler }: { owner: string; handler: string }, job: NewJob): Promise<Placed> {
      if (waiting >= waitingMax)
        throw new HttpProblem('busy', 'Too many single items wait to be stored', { headers: { 'Retry-After': '1' } });
      const name = `${owner} ${handler}`;
      let lane = lanes.get(name);
      if (lane === undefined) lanes.set(name, (lane = createLane({ owner, handler }, deps.statements, settings)));
      waiting += 1;
      try {
        return await lane.add(job);
      } finally {
        waiting -= 1;
      }
    },
  };
}

/** Its key may be that of a request that is still being read. */
function tell({ resolve, reject }: Waiter, { batch, index, hash }: Placed): void {
  if (index === null && hash === null) reject(new KeyTaken({ batch, hash, first: null }));
  else resolve({ batch, index, hash });
}

function createLane(
  whose: { owner: string; handler: string },
  statements: Pick<Statements, 'appendJobs' | 'rollJobs'>,
  { batchMaxSize, batchMaxDelayMs, batchAutoEnabled, chunkMaxBytes }: JobSettings,
) {
  const sizeMax = batchAutoEnabled ? batchMaxSize : 1;
  let waiters: Waiter[] = [];
  let underway = 0;
  let timer: NodeJS.Timeout | null = null;
  let rolling: Promise<string> | null = null;

  const roll = (): Promise<string> =>
    statements.rollJobs({ ...whose, id: newId(), options: JSON.stringify(effectiveOptions()) });

  /** The next group: no key stands in it twice, and its inputs fit a chunk. */
  function cut(): Waiter[] {
    const keys = new Set<string>();
    let bytes = 2;
    let size = 0;
    for (const { job, bytes: each } of waiters) {
      bytes += each + 1;
      if (size === sizeMax || (size > 0 && bytes > chunkMaxBytes) || (job.key && keys.has(job.key.key))) break;
      if (job.key) keys.add(job.key.key);
      size += 1;
    }
    const group = waiters.slice(0, size);
    waiters = waiters.slice(size);
    return group;
  }

  async function store(jobs: readonly NewJob[]): Promise<Placed[]> {
    const group = newId();
    for (let tries = 1; ; tries += 1) {
      const batch = await (rolling ??= roll());
      const placed = await statements.appendJobs({ batch, owner: whose.owner, group, jobs });
      if (placed !== null) return placed;
      // The batch is full, or of yesterday.
      rolling = null;
      if (tries === 5) throw new Error('no rolling batch takes items');
    }
  }

  async function send(): Promise<void> {
    const group = cut();
    underway += 1;
    try {
      const placed = await store(group.map(({ job }) => job));
      for (const [at, waiter] of group.entries()) tell(waiter, placed[at]!);
    } catch (error) {
      // It may have been the answer to `roll`.
      rolling = null;
      for (const { reject } of group) reject(error);
    } finally {
      underway -= 1;
      look();
    }
  }

  /** Sends what should go: all there is when nothing is under way, else full groups, and what has waited for long enough. */
  function look(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    while (waiters.length > 0 && underway < groupsMax) {
      const waited = performance.now() - waiters[0]!.since;
      const due = underway === 0 || waiters.length >= sizeMax || waited >= batchMaxDelayMs;
      if (!due) {
        timer = setTimeout(look, batchMaxDelayMs - waited);
        return;
      }
      void send();
    }
  }

  return {
    add: (job: NewJob): Promise<Placed> =>
      new Promise((resolve, reject) => {
        waiters.push({ job, bytes: Buffer.byteLength(job.input), since: performance.now(), resolve, reject });
        // What comes with the same read of the socket goes together.
        if (waiters.length === 1 || waiters.length >= sizeMax) setImmediate(look);
      }),
  };
}
