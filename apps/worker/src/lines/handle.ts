import { Fail, type Handler } from '@bullpen/handlers';
import type { Plan } from '../plans.ts';

/** A handler as it is called for one item; one for the items of a slice gets slices of one. */
export function handleOf(plan: Plan): NonNullable<Handler['run']> {
  const run = runOf(plan.handler);
  return (input, context) => {
    if (plan.broken !== null) throw plan.broken;
    return run(input, context);
  };
}

function runOf({ run, runChunk }: Handler): NonNullable<Handler['run']> {
  if (run !== undefined) return run;
  return async (input, context) => {
    const outputs = await runChunk!([input], [context]);
    if (!Array.isArray(outputs) || outputs.length !== 1)
      throw new Fail('wrong-output-count', 'runChunk must answer 1 outputs, one an input');
    if (outputs[0] instanceof Error) throw outputs[0];
    return outputs[0];
  };
}
