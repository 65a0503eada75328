import { defineHandler } from '@bullpen/handlers';
import rehearsed from './rehearsed.ts';

const { run: _run, ...others } = rehearsed;

export default defineHandler({
  ...others,
  name: 'rehearsed-together',
  runChunk: (inputs) => inputs.map(({ n }): object => ({ did: n, started: true })),
});
