import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';

export default defineHandler({
  name: 'add',
  description: 'Adds two numbers',
  input: z.object({ a: z.number(), b: z.number() }),
  run: (input) => ({ sum: input.a + input.b }),
});
