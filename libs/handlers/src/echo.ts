import { defineHandler } from '@bullpen/handlers';

export default defineHandler({
  name: 'echo',
  description: 'Returns its input; in a count batch the params, or {index}',
  run: (input, ctx) => (input !== undefined ? input : (ctx.params ?? { index: ctx.index })),
});
