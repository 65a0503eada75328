import type { BatchPlan, Statements } from '@bullpen/db';
import {
  type BatchScope,
  type Caches,
  type Catalog,
  createGroupKey,
  dryHandler,
  type Handler,
} from '@bullpen/handlers';
import type { Log } from '@bullpen/runtime';
import type { Figures } from './figures.ts';
import { type Gate, openGate } from './limits/gate.ts';
import {
  createGroupLimits,
  type GroupLimit,
  type GroupLimits,
  type GroupRate,
  type LimitedLine,
} from './limits/group-limit.ts';
import { prepare } from './prepare.ts';
import type { Timeouts } from './timeouts.ts';
import type { Marks } from './watchdog/marks.ts';

/** All that items of one batch share in this worker. */
export interface Plan {
  batch: number;
  /** As the database says it: what a thread is told. */
  row: BatchPlan;
  /** As this batch calls it: the only place that tells a dry run from others. */
  handler: Handler;
  scope: BatchScope<unknown>;
  maxAttempts: number;
  backoffMs: number;
  /** How long one attempt of an item may take. */
  timeoutMs: number;
  /** Set when the batch does not run any more: its chunks stop and go back with their rest. */
  stopped: boolean;
  /** What items return is folded, and not stored. */
  dropsOutputs: boolean;
  cancel: () => void;
  /** What comes before its first item here, once. `chunk` is the one for which: should this never end, it is the one that is blamed. */
  prepare: (chunk: number) => Promise<void>;
  /** Why no item of it can run, if so, once it is prepared. */
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
  /** False only where a test sees that it would notice (TEST_BREAK_ORDER). */
  hasBarrier?: boolean;
}

/** Reads a batch once per worker, and prepares it once: parses its params, runs the handler's `start`. */
export function createPlans(deps: PlansDeps) {
  const plans = new Map<number, Promise<Plan | null>>();
  const groupLimits = createGroupLimits();

  async function load(no: number): Promise<Plan | null> {
    deps.figures.paramsLoads += 1;
    const askedAt = performance.now();
    const row = await deps.statements.plan(no);
    const handler = row === null ? undefined : deps.handlers.get(row.handler);
    if (row === null || handler === undefined) return null;
    return createPlan(row, handler, { ...deps, groupLimits, askedAt }, () => plans.delete(no));
  }

  /** Null: nothing of it can run here, since it is gone, or its handler is not known. */
  function read(no: number): Promise<Plan | null> {
    let plan = plans.get(no);
    if (plan === undefined) {
      plan = load(no);
      // A batch that could not be read, or whose start failed, is looked at anew by the next chunk.
      plan.then(
        (plan) => plan ?? plans.delete(no),
        () => plans.delete(no),
      );
    } else {
      deps.figures.paramsHits += 1;
      plans.delete(no);
    }
    plans.set(no, plan);
    if (plans.size > keptMax) plans.delete(plans.keys().next().value!);
    return plan;
  }

  return {
    read,
    /** The same, prepared. */
    async open(no: number, chunk: number): Promise<Plan | null> {
      const plan = await read(no);
      await plan?.prepare(chunk);
      return plan;
    },
    /** It is read anew when it is asked for again. */
    forget: (no: number): void => void plans.delete(no),
    /** A batch does not run any more. If it is resumed, it is read anew. */
    stop(no: number, state: string): void {
      const plan = plans.get(no);
      plans.delete(no);
      plan?.then(
        (plan) => {
          if (plan === null) return;
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

function createPlan(row: BatchPlan, handler: Handler, deps: PlansDeps & LimitedDeps, onBroken: () => void): Plan {
  const { seed = 0, dryRun = false } = row.options as { seed?: number; dryRun?: boolean };
  // It calls nobody, so no limit holds it up, and it takes no slot from who does.
  const gate = dryRun ? openGate : deps.gateOf(row.no, row.handler);
  const scope: BatchScope<unknown> = {
    batchId: row.id,
    params: row.params,
    seed,
    log: deps.log.child({ batchId: row.id, handler: row.handler }),
    caches: deps.caches,
    cancelled: null,
    gate,
  };
  let prepared: Promise<void> | null = null;
  async function prepareOnce(chunk: number): Promise<void> {
    plan.broken = await prepare(plan, chunk, deps.marks);
    if (plan.broken !== null) onBroken();
  }
  const plan: Plan = {
    batch: row.no,
    row,
    handler: dryRun ? dryHandler(handler) : handler,
    scope,
    ...attemptsOf(row.options),
    dropsOutputs: (row.options as { keepResults?: string }).keepResults === 'failed',
    stopped: false,
    cancel: () => {
      scope.cancelled = new Error('the batch was cancelled');
      deps.timeouts.cancel(row.no, scope.cancelled);
    },
    prepare: (chunk) => (prepared ??= prepareOnce(chunk)),
    broken: null,
    takesSlots: false,
    group: groupOf(row, deps),
    gate,
  };
  return plan;
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
