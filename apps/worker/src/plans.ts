import type { BatchPlan, Statements } from '@bullpen/db';
import { type BatchScope, type Caches, type Catalog, type Handler, ItemContext } from '@bullpen/handlers';
import type { Log } from '@bullpen/runtime';
import type { Figures } from './figures.ts';

/** All that items of one batch share in this worker. */
export interface Plan {
  batch: number;
  handler: Handler;
  scope: BatchScope<unknown>;
  maxAttempts: number;
  backoffMs: number;
  /** Set when the batch does not run any more: its chunks stop and go back with their rest. */
  stopped: boolean;
  cancel: () => void;
  /** Why no item of it can run, if so. */
  broken: Error | null;
}

/** Batches that are kept; the one that was used longest ago goes. */
const keptMax = 1000;

/** Reads a batch once per worker: parses its params, runs the handler's `start`. */
export function createPlans(deps: {
  statements: Pick<Statements, 'plan'>;
  handlers: Catalog;
  caches: Caches;
  log: Log;
  figures: Figures;
}) {
  const plans = new Map<number, Promise<Plan>>();

  async function load(no: number): Promise<Plan> {
    deps.figures.paramsLoads += 1;
    const row = await deps.statements.plan(no);
    if (row === null) throw new Error(`batch ${no} is gone while its chunks run`);
    const plan = createPlan(row, deps);
    plan.broken = await prepare(plan, row);
    return plan;
  }

  return {
    open(no: number): Promise<Plan> {
      let plan = plans.get(no);
      if (plan === undefined) {
        plan = load(no);
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
    /** A batch that was stopped: if it is resumed, it is read anew. */
    drop: (no: number): void => void plans.delete(no),
  };
}

export type Plans = ReturnType<typeof createPlans>;

function createPlan(row: BatchPlan, deps: { handlers: Catalog; caches: Caches; log: Log }): Plan {
  const handler = deps.handlers.get(row.handler);
  if (handler === undefined) throw new Error(`the claim gave a batch of the unknown handler ${row.handler}`);
  let abort: AbortController | null = null;
  const lazyAbort = {
    get signal(): AbortSignal {
      abort ??= new AbortController();
      return abort.signal;
    },
  };
  const {
    maxAttempts = 3,
    backoffMs = 1000,
    seed = 0,
  } = row.options as { maxAttempts?: number; backoffMs?: number; seed?: number };
  return {
    batch: row.no,
    handler,
    scope: {
      batchId: row.id,
      params: row.params,
      seed,
      log: deps.log.child({ batchId: row.id, handler: row.handler }),
      caches: deps.caches,
      abort: lazyAbort,
    },
    maxAttempts,
    backoffMs,
    stopped: false,
    cancel: () => abort?.abort(),
    broken: null,
  };
}

async function prepare(plan: Plan, row: BatchPlan): Promise<Error | null> {
  const { handler, scope } = plan;
  try {
    if (handler.params) scope.params = handler.params.parse(row.params ?? undefined);
    else scope.params = row.params ?? undefined;
    await handler.start?.(new ItemContext(scope, 0, 1));
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
