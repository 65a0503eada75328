import { defineHandler } from '@bullpen/handlers';

export default defineHandler({
  name: 'calls',
  description: 'Makes two calls of a service that is not there, and says when',
  run: () => ({ calls: [Date.now(), Date.now()] }),
});
