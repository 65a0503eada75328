import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { plants } from '../plants.mjs';

it.each(Object.entries(plants))('the bug %s still has its place in the sources', (_, { file, from }) => {
  expect(readFileSync(file, 'utf8').split(from)).toHaveLength(2);
});
