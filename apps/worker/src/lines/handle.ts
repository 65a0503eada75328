import { Fail, type Handler } from '@bullpen/handlers';
import type { Plan } from '../plans.ts';

/** A handler as it is called for one item; one for the items of a slice gets slices of one. */
export function handleOf({ handler, broken }: Plan): NonNullable<Handler['run']> {
  if (broken !== null)
    return () => {
      throw broken;
    };
  if (handler.run !== undefined) return handler.run;
  const { runChunk } = handler;
  return async (input, context) => {
    const outputs = await runChunk!([input], [context]);
    if (!Array.isArray(outputs) || outputs.length !== 1)
      throw new Fail('wrong-output-count', 'runChunk must answer 1 outputs, one an input');
    if (outputs[0] instanceof Error) throw outputs[0];
    return outputs[0];
  };
}
