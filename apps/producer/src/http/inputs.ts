import { setImmediate as nextTurn } from 'node:timers/promises';
import { faultsOf, type ProblemError, problemErrorsMax } from '@bullpen/api';
import type { NewChunk } from '@bullpen/db';
import type { Handler } from '@bullpen/handlers';
import { createCutter, InputTooLarge } from './chunk.ts';
import { HttpProblem } from './problem.ts';

/** Other requests are served after this long: a million inputs take half a second. */
const turnMs = 5;

/**
 * Checks the inputs of a batch by the handler's schema and cuts them into chunks. What is stored is the value as it
 * came, since the worker parses it again. Refuses with the first hundred faults.
 */
export async function cutInputs(
  inputs: readonly unknown[],
  options: { handler: Handler; size: number; maxBytes: number },
): Promise<NewChunk[]> {
  const cutter = createCutter(options);
  const errors: ProblemError[] = [];
  const schema = options.handler.input;
  let turnStarted = performance.now();
  for (const [index, input] of inputs.entries()) {
    const parsed = schema?.safeParse(input);
    if (parsed !== undefined && !parsed.success) errors.push(...faultsOf(parsed.error, ['inputs', index]));
    if (errors.length >= problemErrorsMax) break;
    if (errors.length === 0) cutter.push(JSON.stringify(input));
    if ((index & 0xff) === 0xff && performance.now() - turnStarted > turnMs) {
      await nextTurn();
      turnStarted = performance.now();
    }
  }
  if (errors.length > 0)
    throw new HttpProblem('invalid', `The inputs do not fit the handler ${options.handler.name}`, { errors });
  return cutter.end();
}

/** Names an input that fits no chunk. */
export function refuseLargeInput(error: unknown, maxBytes: number): never {
  if (!(error instanceof InputTooLarge)) throw error;
  const errors = [{ pointer: `/inputs/${error.index}`, message: `has more than ${maxBytes - 2} bytes as JSON` }];
  throw new HttpProblem('too-large', `Input ${error.index} is too large: CHUNK_MAX_BYTES is ${maxBytes}`, { errors });
}
