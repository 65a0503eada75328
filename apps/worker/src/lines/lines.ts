import type { JobData } from '@bullpen/queue';
import type { Hands } from '../hands.ts';
import type { Limits } from '../limits/limits.ts';
import type { Plans } from '../plans.ts';
import type { Line } from './line.ts';
import { runTurn, type TurnDeps } from './turn.ts';

export interface LinesDeps extends Omit<TurnDeps, 'isWanted' | 'stepAside' | 'budget'> {
  plans: Plans;
  limits: Pick<Limits, 'freshen'>;
  hands: Pick<Hands, 'isWanted'>;
  /** The fence of a partition that this worker owns; null: it does not. */
  leaseOf: (partition: number) => string | null;
  /** Since when. */
  leasedAt: (partition: number) => number;
}

/** A job that is the turn of a line. */
export interface LineJob extends JobData {
  line: number;
  batchNo: number;
}

export const isLineJob = (job: JobData): job is LineJob => job.line !== undefined && job.batchNo !== undefined;

/** The lines that have their turn in this worker. Each has one at a time. */
export function createLines(deps: LinesDeps) {
  const turns = new Map<string, { batch: number; over: Promise<unknown> }>();
  const budget = {
    bytes: 0,
    get lines(): number {
      return turns.size;
    },
  };

  async function run(line: Line, stepAside: () => boolean): Promise<'over' | 'nothing'> {
    const [plan] = await Promise.all([deps.plans.read(line.batch), deps.limits.freshen(line.batch)]);
    return plan === null
      ? 'nothing'
      : runTurn(line, plan, { ...deps, budget, isWanted: deps.hands.isWanted, stepAside });
  }

  return {
    /** Of the lines that have their turn. */
    batches: (): number[] => [...turns.values()].map(({ batch }) => batch),

    /**
     * `back`: nothing of the line was to be had under this job. The line of a second job has its turn already: then there is nothing to do
     * but to wait for its end, aside, and to look again.
     */
    async run(job: LineJob, order: number, isGone: () => boolean, stepAside: () => boolean): Promise<'over' | 'back'> {
      const name = `${job.batchNo}:${job.line}`;
      const known = turns.get(name);
      if (known !== undefined) {
        stepAside();
        await known.over.catch(() => undefined);
        return 'back';
      }
      const lease = deps.leaseOf(job.line);
      if (lease === null) return 'back';
      const isLost = (): boolean => deps.leaseOf(job.line) !== lease;
      const leasedAt = deps.leasedAt(job.line);
      const line: Line = { batch: job.batchNo, line: job.line, lease, leasedAt, order, isLost, isGone };
      const over = run(line, stepAside);
      turns.set(name, { batch: job.batchNo, over });
      try {
        return (await over) === 'over' ? 'over' : 'back';
      } finally {
        turns.delete(name);
      }
    },
  };
}

export type Lines = ReturnType<typeof createLines>;
