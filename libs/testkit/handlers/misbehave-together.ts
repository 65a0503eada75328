import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';

/** A call with one of these items in it does not end. */
const params = z.object({ never: z.array(z.number()).default([]), loop: z.array(z.number()).default([]) });

export default defineHandler({
  name: 'misbehave-together',
  description: 'Runs items together, and some calls do not end',
  params,
  runChunk: (_, contexts) => {
    const { never, loop } = contexts[0]!.params;
    if (contexts.some(({ index }) => loop.includes(index))) for (;;);
    if (contexts.some(({ index }) => never.includes(index))) return new Promise(() => undefined);
    return contexts.map(({ index }) => ({ index }));
  },
});
