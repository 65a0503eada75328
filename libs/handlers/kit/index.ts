export { defineHandler, dryHandler, HandlerError, type Handler, type HandlerDefinition } from './define.ts';
export {
  createCaches,
  ItemContext,
  type BatchScope,
  type Caches,
  type HandlerLog,
  type StartContext,
} from './context.ts';
export { Fail, Retry, retryAfterMs } from './errors.ts';
export { createGroupKey, groupField, lineOf } from './group-key.ts';
export { loadHandlers, type Catalog } from './load.ts';
export { createRandom } from './random.ts';
export { atOnce, encodeReduced, mergeReduced, type Reduce, ReduceError, summaryOf, unknownReduced } from './reduce.ts';
export { runHandler, summarize } from './run-handler.ts';
