import type { z } from 'zod';
import type { ItemContext, StartContext } from './context.ts';
import { Fail } from './errors.ts';
import type { Reduce } from './reduce.ts';

/** What a handler gets and gives. Say `run` for one item at a time, or `runChunk` for the items of a slice at once. */
export interface HandlerDefinition<Input, Output, Params, Acc = unknown> {
  /** Lower case, digits and dashes; what a batch names. */
  name: string;
  description: string;
  /** Checked at the door and again in the worker, so that defaults and transforms of the schema apply. */
  input?: z.ZodType<Input>;
  /**
   * It never looks at its inputs: it gets undefined, and they are not parsed, which takes more of an item of 100 bytes than all
   * that a worker does for it otherwise.
   */
  ignoresInput?: boolean;
  /** What all items of a batch share; parsed once per worker and batch. */
  params?: z.ZodType<Params>;
  /**
   * Runs one item; a value or a promise of one. `undefined` means acknowledge: counted, no result row. Throw `Fail` to
   * fail for good, `Retry` to be tried again later, anything else to be tried again with backoff. In a `count` batch an
   * item has no input: it gets `ctx.index` and `ctx.params`.
   */
  run?: (input: Input, ctx: ItemContext<Params>) => Output | Promise<Output>;
  /**
   * Runs items together: answers one output each, in order; an `Error` in place of an output concerns that item alone.
   * A throw concerns all.
   */
  runChunk?: (inputs: Input[], ctx: ItemContext<Params>[]) => (Output | Error)[] | Promise<(Output | Error)[]>;
  /**
   * What a batch with `dryRun: true` runs for each item in place of `run`, `runChunk` and `start`: it answers what would be done, and
   * does nothing outside. Without it such a batch is refused.
   */
  dryRun?: (input: Input, ctx: ItemContext<Params>) => Output | Promise<Output>;
  /** Once per worker and batch, before its first item there. */
  start?: (ctx: StartContext<Params>) => void | Promise<void>;
  /** Makes the batch's summary of the outputs. */
  reduce?: Reduce<Output, Params, Acc>;
  /** Items of a chunk where the batch does not say; default `CHUNK_SIZE`. */
  chunkSize?: number;
  /**
   * Chunks run in so many threads of a worker, 1 to 64, instead of on its main loop. Each thread has its own modules, caches
   * and `start`. For items that compute for 50 µs and more.
   */
  threads?: number | undefined;
}

/** A handler as the processes carry it, whatever its types. */
export type Handler = HandlerDefinition<unknown, unknown, unknown>;

/** A handler cannot be used as it is written; ends the process with 78 (EX_CONFIG). */
export class HandlerError extends Error {
  readonly exitCode = 78;
}

const namePattern = /^[a-z][a-z0-9-]{0,62}$/;
const fields = [
  'name', 'description', 'input', 'ignoresInput', 'params', 'run', 'runChunk', 'dryRun', 'start', 'reduce', 'chunkSize', 'threads',
]; // prettier-ignore
/** Upper bounds of the fields that are numbers. */
const most = { chunkSize: 10_000, threads: 64 };
/** What a batch says, in its `options`. */
const ofBatches = ['timeoutMs', 'maxAttempts', 'backoffMs', 'seed'];

/** Checks a handler and answers it. Throws HandlerError with what is wrong. */
export function defineHandler<Input = unknown, Output = unknown, Params = unknown, Acc = unknown>(
  definition: HandlerDefinition<Input, Output, Params, Acc>,
): HandlerDefinition<Input, Output, Params, Acc> {
  const { name, run, runChunk, reduce } = definition;
  if (!namePattern.test(name))
    throw new HandlerError(`handler name "${name}": use lower-case letters, digits and dashes, at most 63`);
  if ((run === undefined) === (runChunk === undefined))
    throw new HandlerError(`handler ${name}: give either run or runChunk`);
  for (const field of ['chunkSize', 'threads'] as const) {
    const given = definition[field];
    if (given !== undefined && !(Number.isInteger(given) && given >= 1 && given <= most[field]))
      throw new HandlerError(`handler ${name}: ${field} must be a whole number from 1 to ${most[field]}`);
  }
  if (![undefined, true, false].includes(definition.ignoresInput))
    throw new HandlerError(`handler ${name}: ignoresInput must be true or false`);
  if (definition.ignoresInput && definition.input !== undefined)
    throw new HandlerError(`handler ${name}: give either input or ignoresInput`);
  if (reduce !== undefined) checkReduce(name, reduce);
  if (!['undefined', 'function'].includes(typeof definition.dryRun))
    throw new HandlerError(`handler ${name}: dryRun must be a function, as run is`);
  for (const field of Object.keys(definition)) {
    if (fields.includes(field)) continue;
    const hint = ofBatches.includes(field) ? 'a batch says it, in its options' : `it has ${fields.join(', ')}`;
    throw new HandlerError(`handler ${name}: ${field} is no field of a handler; ${hint}`);
  }
  return definition;
}

/** The handler as a dry run calls it. One that has no `dryRun`, in an older file than the producer knows, fails each item and does nothing. */
export function dryHandler<Input, Output, Params, Acc>(
  definition: HandlerDefinition<Input, Output, Params, Acc>,
): HandlerDefinition<Input, Output, Params, Acc> {
  const { runChunk: _runChunk, start: _start, ...others } = definition;
  const refuse = (): never => {
    throw new Fail(
      'no-dry-run',
      `the handler ${others.name} of this worker has no dryRun: restart it with the file of today`,
    );
  };
  return { ...others, run: others.dryRun ?? refuse };
}

function checkReduce(name: string, reduce: object): void {
  const given = reduce as Record<string, unknown>;
  const wrong = ['zero', 'add', 'merge'].find((part) => typeof given[part] !== 'function');
  if (wrong !== undefined) throw new HandlerError(`handler ${name}: reduce needs ${wrong}, a function`);
  if (given['summary'] !== undefined && typeof given['summary'] !== 'function')
    throw new HandlerError(`handler ${name}: reduce.summary must be a function`);
}
