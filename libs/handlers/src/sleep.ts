import { setTimeout as wait } from 'node:timers/promises';
import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';

const fields = z.object({ ms: z.number().min(0).max(86_400_000) });

export default defineHandler({
  name: 'sleep',
  description: 'Waits {ms}, from the input or the params',
  input: fields,
  params: fields.optional(),
  run: async (input, ctx) => {
    const ms = input?.ms ?? ctx.params?.ms ?? 0;
    await wait(ms);
    return { ms };
  },
});
