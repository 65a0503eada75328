import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';

const fields = z.object({
  /** Share of the items that fail, 0…1; which ones depends on the batch's seed. */
  rate: z.number().min(0).max(1).default(1),
  message: z.string().max(1000).default('failed as asked'),
  /** Such an item succeeds from this attempt on. */
  untilAttempt: z.number().int().min(1).optional(),
});

export default defineHandler({
  name: 'fail',
  description: 'Fails a share {rate} of its items with {message}, each until attempt {untilAttempt}',
  input: fields,
  params: fields.optional(),
  run: (input, ctx) => {
    const { rate, message, untilAttempt } = input ?? ctx.params ?? fields.parse({});
    const fails = ctx.random() < rate && (untilAttempt === undefined || ctx.attempt < untilAttempt);
    if (fails) throw new Error(message);
    return { attempt: ctx.attempt };
  },
});
