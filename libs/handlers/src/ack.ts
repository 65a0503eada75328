import { defineHandler } from '@bullpen/handlers';

export default defineHandler({
  name: 'ack',
  description: 'Returns nothing: items are counted, no result is kept',
  ignoresInput: true,
  run: () => undefined,
});
