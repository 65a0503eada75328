import { faultsOf, pointerOf, type ProblemError, problemErrorsMax } from '@bullpen/api';
import type { UploadedChunk } from '@bullpen/db';
import type { Handler } from '@bullpen/handlers';
import { createCutter, InputTooLarge } from './chunk.ts';
import { HttpProblem } from '../http/problem.ts';
import type { Turns } from './turns.ts';

/**
 * Checks the inputs of a batch by the handler's schema and cuts them into chunks. What is stored is the value as it
 * came, since the worker parses it again. Refuses with the first hundred faults.
 */
export async function cutInputs(
  inputs: readonly unknown[],
  options: { handler: Handler; size: number; maxBytes: number; turns: Turns; pointer: readonly string[] },
): Promise<UploadedChunk[]> {
  const { handler, size, maxBytes, turns, pointer } = options;
  const { cutter, push } = createInputCutter({ size, maxBytes, pointer });
  const errors: ProblemError[] = [];
  const schema = handler.input;
  for (const [index, input] of inputs.entries()) {
    const parsed = schema?.safeParse(input);
    if (parsed !== undefined && !parsed.success) errors.push(...faultsOf(parsed.error, [...pointer, index]));
    if (errors.length >= problemErrorsMax) break;
    if (errors.length === 0) push(JSON.stringify(input), index);
    if ((index & 0x1f) === 0x1f && turns.isOver()) await turns.next();
  }
  if (errors.length > 0)
    throw new HttpProblem('invalid', `The inputs do not fit the handler ${handler.name}`, { errors });
  return cutter.end();
}

/** Cuts texts into chunks; `push` names the one that fits none. */
export function createInputCutter(rules: { size: number; maxBytes: number; pointer: readonly string[] }) {
  const { size, maxBytes, pointer } = rules;
  const cutter = createCutter({ sizeFor: () => size, maxBytes });
  return {
    cutter,
    push: (text: string, index: number): void => {
      try {
        cutter.push(text);
      } catch (error) {
        throw error instanceof InputTooLarge ? tooLarge([...pointer, index], index, maxBytes) : error;
      }
    },
  };
}

/** Names an input that fits no chunk. */
const tooLarge = (path: readonly PropertyKey[], index: number, maxBytes: number): HttpProblem =>
  new HttpProblem('too-large', `Input ${index} is too large: CHUNK_MAX_BYTES is ${maxBytes}`, {
    errors: [{ pointer: pointerOf(path), message: `has more than ${maxBytes - 2} bytes as JSON` }],
  });
