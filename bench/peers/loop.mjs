// The item alone, as fast as a process can run it: what the machine gives. Its parent says how many.
import { outputOf } from './item.mjs';

process.on('message', ({ items, iterations }) => {
  for (let index = 0; index < items; index += 1) outputOf(index, iterations);
  process.send('done');
});
process.send('ready');
