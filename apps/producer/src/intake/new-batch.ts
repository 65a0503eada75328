import { randomInt } from 'node:crypto';
import {
  type EffectiveOptions,
  faultsOf,
  newBatchSchema,
  type NewBatchBody,
  optionDefaults,
  type Options,
  seedMax,
} from '@bullpen/api';
import type { Catalog, Handler } from '@bullpen/handlers';
import { HttpProblem } from '../http/problem.ts';

/** `params` stand in the batch's row and in every list of batches. */
const paramsMaxBytes = 256 * 1024;
const namesShown = 10;

/** A body that was read, as a batch; `inputs` says how many there are where they were left out. Throws the problem that is in the way. */
export function checkNewBatch(body: unknown, rules: { itemsMax: number; inputs?: number }): NewBatchBody {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new HttpProblem('invalid', 'The body must be an object', {
      errors: [{ pointer: '', message: 'must be an object' }],
    });
  }
  const parsed = newBatchSchema.safeParse(body);
  if (!parsed.success) throw new HttpProblem('invalid', 'The batch is not valid', { errors: faultsOf(parsed.error) });
  const { count, inputs } = parsed.data;
  const total = count ?? rules.inputs ?? inputs?.length ?? 0;
  if (total > rules.itemsMax) {
    const errors = [
      { pointer: count === undefined ? '/inputs' : '/count', message: `must be at most ${rules.itemsMax}` },
    ];
    throw new HttpProblem('too-large', `A batch may have ${rules.itemsMax} items (MAX_ITEMS_PER_BATCH)`, { errors });
  }
  return parsed.data;
}

export function findHandler(handlers: Catalog, name: string): Handler {
  const handler = handlers.get(name);
  if (handler !== undefined) return handler;
  const known = [...handlers.keys()].sort();
  const shown = known.slice(0, namesShown).join(', ') + (known.length > namesShown ? ', …' : '');
  const detail = `There are ${shown} (GET /v1/handlers). A file that was added since the start is known after a restart`;
  throw new HttpProblem('unknown-handler', detail, {
    errors: [{ pointer: '/handler', message: 'is no name of a handler' }],
  });
}

/** The params as JSON text, or null. They are stored as they came; the worker parses them again. */
export function checkParams(handler: Handler, params: unknown): string | null {
  const parsed = handler.params?.safeParse(params);
  if (parsed !== undefined && !parsed.success) {
    throw new HttpProblem('invalid', `The params do not fit the handler ${handler.name}`, {
      errors: faultsOf(parsed.error, ['params']),
    });
  }
  if (params === undefined) return null;
  const text = JSON.stringify(params);
  if (Buffer.byteLength(text) <= paramsMaxBytes) return text;
  throw new HttpProblem('too-large', `The params may have ${paramsMaxBytes} bytes as JSON`, {
    errors: [{ pointer: '/params', message: 'is too large' }],
  });
}

/**
 * Whether the items of a count batch would have what the handler needs: it takes no input, or has params to read from.
 */
export function refuseMissingInputs(handler: Handler): void {
  if (handler.input === undefined || handler.params !== undefined || handler.input.safeParse(undefined).success) return;
  throw new HttpProblem(
    'invalid',
    `The handler ${handler.name} needs an input for each item: send inputs instead of count`,
    {
      errors: [{ pointer: '/count', message: `${handler.name} needs inputs` }],
    },
  );
}

/** A dry run is only what the handler says that it is. */
export function refuseNoDryRun(handler: Handler, { dryRun = false }: Options = {}): void {
  if (!dryRun || handler.dryRun !== undefined) return;
  throw new HttpProblem('invalid', `The handler ${handler.name} has no dryRun, so nobody knows what it would do`, {
    errors: [{ pointer: '/options/dryRun', message: `${handler.name} has none (GET /v1/handlers says which have)` }],
  });
}

/** The options that the batch will run with, as everybody may see them. A seed is always stored, so that a run can be repeated. */
export const effectiveOptions = (options: Options = {}): EffectiveOptions => ({
  ...(options.chunkSize !== undefined && { chunkSize: options.chunkSize }),
  maxAttempts: options.maxAttempts ?? optionDefaults.maxAttempts,
  backoffMs: options.backoffMs ?? optionDefaults.backoffMs,
  timeoutMs: options.timeoutMs ?? optionDefaults.timeoutMs,
  seed: options.seed ?? randomInt(seedMax + 1),
  priority: options.priority ?? optionDefaults.priority,
  weight: options.weight ?? optionDefaults.weight,
  ...(options.groupBy !== undefined && { groupBy: options.groupBy, ordered: options.ordered ?? false }),
  ...(options.groupConcurrency !== undefined && { groupConcurrency: options.groupConcurrency }),
  ...(options.groupRateLimit !== undefined && { groupRateLimit: options.groupRateLimit }),
  ...(options.rateLimit !== undefined && { rateLimit: options.rateLimit }),
  ...(options.concurrency !== undefined && { concurrency: options.concurrency }),
  ...(options.maxFailures !== undefined && { maxFailures: options.maxFailures }),
  ...(options.maxFailureRate !== undefined && { maxFailureRate: options.maxFailureRate }),
  ...(options.canary !== undefined && { canary: options.canary }),
  ...(options.notBefore !== undefined && { notBefore: options.notBefore }),
  ...(options.keepResults !== undefined && { keepResults: options.keepResults }),
  ...(options.webhook !== undefined && { webhook: { url: options.webhook.url } }),
  ...(options.dryRun && { dryRun: true as const }),
});
