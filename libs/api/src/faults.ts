import type { z } from 'zod';
import { pointerOf } from './pointer.ts';
import type { ProblemError } from './problems.ts';

/** A message is cut here: a schema with a long list of choices would fill the answer. */
const messageMax = 300;

/** What a schema found, with JSON pointers below `base`: `['inputs', 17]` makes `/inputs/17/a` of the path `a`. */
export function faultsOf(error: z.ZodError, base: readonly PropertyKey[] = []): ProblemError[] {
  return error.issues.flatMap((issue): ProblemError[] => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        pointer: pointerOf([...base, ...issue.path, key]),
        message: 'is not known here',
      }));
    }
    return [{ pointer: pointerOf([...base, ...issue.path]), message: issue.message.slice(0, messageMax) }];
  });
}
