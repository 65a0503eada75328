import { type BatchScope, createCaches, ItemContext } from './context.ts';
import { dryHandler, type HandlerDefinition } from './define.ts';
import { encodeReduced, summaryOf } from './reduce.ts';

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Runs a handler over inputs in memory, without servers, one attempt each: for tests of handlers. Inputs and params
 * pass their schemas first. With `dryRun: true` it runs as in a dry run. Rejects with the first error that the handler throws.
 */
export async function runHandler<Input, Output, Params, Acc>(
  given: HandlerDefinition<Input, Output, Params, Acc>,
  inputs: readonly unknown[],
  options: { params?: unknown; seed?: number; dryRun?: boolean } = {},
): Promise<Output[]> {
  const handler = options.dryRun ? dryHandler(given) : given;
  const params = parseParams(handler, options.params);
  const scope: BatchScope<Params> = {
    batchId: '00000000-0000-7000-8000-000000000000',
    params,
    seed: options.seed ?? 0,
    log: silent,
    caches: createCaches(),
    cancelled: null,
  };
  const contexts = inputs.map((_, index) => new ItemContext(scope, index, 1));
  const parsed = inputs.map((input) => {
    if (handler.ignoresInput) return undefined as Input;
    return handler.input && input !== undefined ? handler.input.parse(input) : (input as Input);
  });
  await handler.start?.(contexts[0] ?? new ItemContext(scope, 0, 1));
  if (handler.runChunk) {
    const outputs = await handler.runChunk(parsed, contexts);
    const error = outputs.find((output) => output instanceof Error);
    if (error !== undefined) throw error;
    return outputs as Output[];
  }
  const outputs: Output[] = [];
  for (const [index, context] of contexts.entries()) outputs.push(await handler.run!(parsed[index] as Input, context));
  return outputs;
}

/**
 * The summary that a batch with these outputs would show, item 0 first; `undefined` stands for one without an output.
 * Throws what `reduce` throws, and where the handler has none.
 */
export function summarize<Input, Output, Params, Acc>(
  handler: HandlerDefinition<Input, Output, Params, Acc>,
  outputs: readonly Output[],
  options: { params?: unknown } = {},
): unknown {
  const { reduce } = handler;
  if (reduce === undefined) throw new Error(`the handler ${handler.name} has no reduce`);
  const params = parseParams(handler, options.params);
  let acc = reduce.zero(params);
  for (const [index, output] of outputs.entries()) {
    if (output !== undefined) acc = reduce.add(acc, JSON.parse(JSON.stringify(output)) as Output, index, params);
  }
  return summaryOf(reduce, encodeReduced(acc), params);
}

function parseParams<Input, Output, Params, Acc>(
  handler: HandlerDefinition<Input, Output, Params, Acc>,
  params: unknown,
): Params {
  return (handler.params ? handler.params.parse(params) : params) as Params;
}
