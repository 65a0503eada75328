import { faultsOf, pointerOf, type ProblemError, problemErrorsMax } from '@bullpen/api';
import type { UploadedChunk } from '@bullpen/db';
import type { Handler } from '@bullpen/handlers';
import { InputTooLarge } from './chunk.ts';
import { HttpProblem } from '../http/problem.ts';
import { cutterFor, type Lines } from './line-chunks.ts';
import type { Turns } from './turns.ts';

/** How inputs of a body that was read become chunks. */
export interface InputRules {
  handler: Handler;
  /** Items of the chunk that begins at this index. */
  sizeFor: (first: number) => number;
  maxBytes: number;
  /** Null: the batch has no groups. */
  lines: Lines | null;
  turns: Turns;
  /** Where the list of inputs stands in the body. */
  pointer: readonly string[];
}

/**
 * Checks the inputs of a batch by the handler's schema and cuts them into chunks. What is stored is the value as it
 * came, since the worker parses it again. Refuses with the first hundred faults.
 */
export async function cutInputs(inputs: readonly unknown[], rules: InputRules): Promise<UploadedChunk[]> {
  const { handler, turns, pointer } = rules;
  const { cutter, push } = createInputCutter(rules);
  const errors: ProblemError[] = [];
  const schema = handler.input;
  for (const [index, input] of inputs.entries()) {
    const parsed = schema?.safeParse(input);
    if (parsed !== undefined && !parsed.success) errors.push(...faultsOf(parsed.error, [...pointer, index]));
    if (errors.length >= problemErrorsMax) break;
    if (errors.length === 0) push(JSON.stringify(input), input, index);
    if ((index & 0x1f) === 0x1f && turns.isOver()) await turns.next();
  }
  if (errors.length > 0)
    throw new HttpProblem('invalid', `The inputs do not fit the handler ${handler.name}`, { errors });
  return cutter.end();
}

/** Cuts texts into chunks; `push` names the one that fits none. */
export function createInputCutter(rules: Pick<InputRules, 'sizeFor' | 'maxBytes' | 'lines' | 'pointer'>) {
  const { sizeFor, maxBytes, lines, pointer } = rules;
  const cutter = cutterFor({ sizeFor, maxBytes, lines });
  return {
    cutter,
    push: (text: string, value: unknown, index: number): void => {
      try {
        cutter.push(text, value);
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
