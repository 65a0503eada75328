import type { BatchPlan, Statements } from '@bullpen/db';
import {
  type BatchScope,
  type Caches,
  type Catalog,
  createGroupKey,
  type Handler,
  ItemContext,
} from '@bullpen/handlers';
import type { Log } from '@bullpen/runtime';
import type { Figures } from './figures.ts';
import type { Gate } from './limits/gate.ts';
import {
  createGroupLimits,
  type GroupLimit,
  type GroupLimits,
  type GroupRate,
  type LimitedLine,
} from './limits/group-limit.ts';
import { describeError } from './outputs.ts';
import { TimeoutError, type Timeouts } from './timeouts.ts';
import { type Marks, start } from './watchdog/marks.ts';

/** All that items of one batch share in this worker. */
export interface Plan {
  batch: number;
  /** As the database says it: what a thread is told. */
  row: BatchPlan;
  handler: Handler;
  scope: BatchScope<unknown>;
  maxAttempts: number;
  backoffMs: number;
  /** How long one attempt of an item may take. */
  timeoutMs: number;
  /** Set when the batch does not run any more: its chunks stop and go back with their rest. */
  stopped: boolean;
  cancel: () => void;
  /** Why no item of it can run, if so. */
  broken: Error | null;
  /** Its handler has answered a promise: its items take slots. */
  takesSlots: boolean;
  /** Of a keyed batch. */
  group: Group | null;
  /** Says when its items may start. */
  gate: Gate;
}

/** How the items of a keyed batch go by their groups. */
interface Group {
  keyOf: (input: unknown) => string | null;
  /** Items of one that may run at once. */
  max: number;
  /** One after the other, as they were submitted. */
  ordered: boolean;
  /** How fast those of one may start, for the owner of a line; null: any number at once. */
  paceOf: ((line: LimitedLine) => GroupLimit) | null;
}

/** Batches that are kept; the one that was used longest ago goes. */
const keptMax = 1000;

export interface PlansDeps {
  statements: Pick<Statements, 'plan'>;
  handlers: Catalog;
  caches: Caches;
  timeouts: Timeouts;
  marks: Marks;
  log: Log;
  figures: Pick<Figures, 'paramsLoads' | 'paramsHits'>;
  gateOf: (batch: number, handler: string) => Gate;
  /** False only where a test sees that it would notice (lines/broken.ts). */
  hasBarrier?: boolean;
}

/** Reads a batch once per worker: parses its params, runs the handler's `start`. */
export function createPlans(deps: PlansDeps) {
  const plans = new Map<number, Promise<Plan>>();
  const groupLimits = createGroupLimits();

  async function load(no: number, chunk: number): Promise<Plan> {
    deps.figures.paramsLoads += 1;
    const askedAt = performance.now();
    const row = await deps.statements.plan(no);
    if (row === null) throw new Error(`batch ${no} is gone while its chunks run`);
    const plan = createPlan(row, { ...deps, groupLimits, askedAt });
    plan.broken = await prepare(plan, row, chunk, deps.marks);
    return plan;
  }

  return {
    /** `chunk` is the one for which it is asked: should this never end, it is the one that is blamed. */
    open(no: number, chunk: number): Promise<Plan> {
      let plan = plans.get(no);
      if (plan === undefined) {
        plan = load(no, chunk);
        // A batch that could not be read, or whose start failed, is looked at anew by the next chunk.
        plan.then(
          ({ broken }) => broken && plans.delete(no),
          () => plans.delete(no),
        );
      } else {
        deps.figures.paramsHits += 1;
        plans.delete(no);
      }
      plans.set(no, plan);
      if (plans.size > keptMax) plans.delete(plans.keys().next().value!);
      return plan;
    },
    /** It is read anew when it is asked for again. */
    forget: (no: number): void => void plans.delete(no),
    /** A batch does not run any more. If it is resumed, it is read anew. Does not wait for a `start` that may never end. */
    stop(no: number, state: string): void {
      const plan = plans.get(no);
      plans.delete(no);
      plan?.then(
        (plan) => {
          plan.stopped = true;
          if (state === 'cancelled') plan.cancel();
          deps.log.info({ batchId: plan.scope.batchId, state }, 'batch does not run any more: its chunks go back');
        },
        () => undefined,
      );
    },
  };
}

export type Plans = ReturnType<typeof createPlans>;

function createPlan(row: BatchPlan, deps: PlansDeps & LimitedDeps): Plan {
  const handler = deps.handlers.get(row.handler);
  if (handler === undefined) throw new Error(`the claim gave a batch of the unknown handler ${row.handler}`);
  const { seed = 0 } = row.options as { seed?: number };
  const gate = deps.gateOf(row.no, row.handler);
  const scope: BatchScope<unknown> = {
    batchId: row.id,
    params: row.params,
    seed,
    log: deps.log.child({ batchId: row.id, handler: row.handler }),
    caches: deps.caches,
    cancelled: null,
    gate,
  };
  return {
    batch: row.no,
    row,
    handler,
    scope,
    ...attemptsOf(row.options),
    stopped: false,
    cancel: () => {
      scope.cancelled = new Error('the batch was cancelled');
      deps.timeouts.cancel(row.no, scope.cancelled);
    },
    broken: null,
    takesSlots: false,
    group: groupOf(row, deps),
    gate,
  };
}

interface LimitedDeps {
  groupLimits: GroupLimits;
  /** When the row was asked for: its age is from then or later. */
  askedAt: number;
}

function groupOf(
  { options, ageMs }: BatchPlan,
  { groupLimits, askedAt, hasBarrier = true }: PlansDeps & LimitedDeps,
): Group | null {
  const {
    groupBy,
    ordered = false,
    groupConcurrency,
    groupRateLimit,
  } = options as {
    groupBy?: string;
    ordered?: boolean;
    groupConcurrency?: number;
    groupRateLimit?: GroupRate;
  };
  if (groupBy === undefined) return null;
  return {
    keyOf: createGroupKey(groupBy),
    max: ordered && hasBarrier ? 1 : (groupConcurrency ?? Infinity),
    ordered: ordered && hasBarrier,
    paceOf: groupRateLimit === undefined ? null : (line) => groupLimits(line, groupRateLimit, askedAt - ageMs),
  };
}

/** What the options of a batch say of attempts; the defaults are those of the API. */
export function attemptsOf(options: Record<string, unknown>): {
  maxAttempts: number;
  backoffMs: number;
  timeoutMs: number;
} {
  const given = options as { maxAttempts?: number; backoffMs?: number; timeoutMs?: number };
  return {
    maxAttempts: given.maxAttempts ?? 3,
    backoffMs: given.backoffMs ?? 1000,
    timeoutMs: given.timeoutMs ?? 300_000,
  };
}

async function prepare(plan: Plan, row: BatchPlan, chunk: number, marks: Marks): Promise<Error | null> {
  const { handler, scope, timeoutMs } = plan;
  let late: NodeJS.Timeout | undefined;
  try {
    marks.enter(chunk, start, timeoutMs);
    if (handler.params) scope.params = handler.params.parse(row.params ?? undefined);
    else scope.params = row.params ?? undefined;
    const context = new ItemContext(scope, 0, 1);
    // Where it has threads, each of them starts it.
    const started = handler.threads === undefined ? handler.start?.(context) : undefined;
    marks.leave();
    if (started === undefined) return null;
    const tooLate = new Promise<never>((_, reject) => {
      late = setTimeout(() => {
        const error = new TimeoutError(timeoutMs);
        ItemContext.end(context, error);
        reject(error);
      }, timeoutMs);
    });
    await Promise.race([started, tooLate]);
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(describeError(error).message);
  } finally {
    marks.leave();
    clearTimeout(late);
  }
}
