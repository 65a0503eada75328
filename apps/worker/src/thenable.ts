/** A promise, or what is awaited like one. */
export const isThenable = (output: unknown): output is PromiseLike<unknown> =>
  output !== null && typeof output === 'object' && typeof (output as PromiseLike<unknown>).then === 'function';
