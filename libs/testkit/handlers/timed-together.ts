import { defineHandler } from '@bullpen/handlers';

/** When the call was made that the item was in, by the machine's clock, and with how many others. */
export default defineHandler({
  name: 'timed-together',
  description: 'Says when it began, for items that run together',
  runChunk: (inputs) => {
    const from = Date.now();
    return inputs.map(() => ({ from, to: from, pid: process.pid, attempt: 1, together: inputs.length }));
  },
});
