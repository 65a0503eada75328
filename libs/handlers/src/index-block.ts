import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';
import { type Block, exampleBlock } from './index-block/example-block.ts';
import { isTemplate } from './index-block/template.ts';

/** A batch has at most so many items (MAX_ITEMS_PER_BATCH), so that start and index together are a whole number that is exact. */
const itemsMax = 1_000_000_000;
const startMax = Number.MAX_SAFE_INTEGER - itemsMax;

const heightSchema = z
  .int({ error: 'must be a whole number from 0 to 2^53 − 1' })
  .min(0, { error: 'must be at least 0' });

/** Who makes up blocks does not load an HTTP client. */
async function fetched(url: string, height: number, signal: AbortSignal): Promise<Block> {
  const { fetchBlock } = await import('./index-block/fetch-block.ts');
  return fetchBlock(url, height, signal);
}

export default defineHandler({
  name: 'index-block',
  description: 'Indexes the block {height} of a chain: fetched from {url}, or made up (docs/workloads/index-block.md)',
  input: z.object({ height: heightSchema }),
  params: z.strictObject({
    /** Which chain: `bullpen gaps --chain` looks at all batches with the same. */
    chain: z.string().min(1).max(200),
    /** The height of item 0 of a count batch. */
    start: heightSchema
      .max(startMax, { error: `must be at most ${startMax}, so that start and count together stay below 2^53` })
      .default(0),
    /** Where blocks are, with {height} in the place of the height; left out: an example block is made. */
    url: z
      .string()
      .max(2000)
      .refine(isTemplate, { error: 'must be an http or https URL with {height}, as in https://node/blocks/{height}' })
      .optional(),
  }),
  run: (input, ctx) => {
    const { chain, start, url } = ctx.params;
    const height = input?.height ?? start + ctx.index;
    return url === undefined ? exampleBlock(chain, height) : fetched(url, height, ctx.signal);
  },
});
