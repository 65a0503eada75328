import { randomUUID } from 'node:crypto';
import { appendFileSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';

/** Once for all processes that share the file. */
function stallOnce(file: string, ms: number): void {
  try {
    writeFileSync(`${file}.stalled`, String(process.pid), { flag: 'wx' });
  } catch {
    return;
  }
  setTimeout(() => {
    for (const until = performance.now() + ms; performance.now() < until;) continue;
  }, 20);
}

/**
 * Appends a line to {file} when an item starts and one when it ends, with an id of this run that is its output too: so it can be told how
 * often each ran, which run was kept, and in which order. A file, because no fault of a server or a network loses a line of it.
 */
export default defineHandler({
  name: 'journaled',
  description: 'Writes down when each run of an item begins and ends',
  input: z.object({ key: z.string().optional(), ms: z.number().optional() }).optional(),
  params: z.object({
    file: z.string(),
    ms: z.number().default(0),
    text: z.string().default(''),
    /** The first item that runs makes its process stand still for so long, a moment later and outside of any call. */
    stallMs: z.number().default(0),
  }),
  run: (input, { itemKey, attempt, params }): unknown => {
    const run = randomUUID();
    const tell = (phase: 'start' | 'end'): void =>
      appendFileSync(params.file, `${phase} ${itemKey} ${attempt} ${run} ${process.pid} ${Date.now()}\n`);
    const output = { run, key: input?.key, text: params.text };
    const ms = input?.ms ?? params.ms;
    tell('start');
    if (params.stallMs > 0) stallOnce(params.file, params.stallMs);
    if (ms > 0) return wait(ms).then(() => (tell('end'), output));
    tell('end');
    return output;
  },
});
