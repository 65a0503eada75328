import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';
import { outputOf } from '../peers/item.mjs';

export default defineHandler({
  name: 'burn',
  description: 'Takes {iterations} of cpu, and returns what every system in the benchmarks returns',
  params: z.object({ iterations: z.int().min(0).max(100_000_000) }),
  run: (_, { index, params }) => outputOf(index, params.iterations),
});
