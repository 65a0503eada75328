import { defineHandler } from '@bullpen/handlers';

/** As ack, but it looks at its inputs, as most handlers do: so they are parsed. */
export default defineHandler({
  name: 'look',
  description: 'Returns nothing, and looks at its input',
  run: (input) => {
    if (typeof input !== 'object') throw new Error('there is no input');
  },
});
