import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
// @ts-expect-error a script without types
import { build, prune } from '../build.mjs';

it('keeps the youngest builds, those in use, and what is none', async () => {
  const cache = mkdtempSync(join(tmpdir(), 'builds-'));
  onTestFinished(() => rmSync(cache, { recursive: true }));
  const nth = (n: number): string => `000000000000000${n}`;
  const minutesOld = [1, 5, 14, 20, 30, 40, 50];
  for (const [n, minutes] of minutesOld.entries()) {
    mkdirSync(join(cache, nth(n), 'inner'), { recursive: true });
    const at = new Date(Date.now() - minutes * 60_000);
    utimesSync(join(cache, nth(n)), at, at);
  }
  mkdirSync(join(cache, 'redis-dist'));
  await prune(cache);
  expect(readdirSync(cache)).toEqual([...[0, 1, 2, 3].map(nth), 'redis-dist']);
  await prune(cache, 1);
  expect(readdirSync(cache)).toEqual([...[0, 1, 2].map(nth), 'redis-dist']);
});

it('builds anew when a source becomes a handler, though its text is the same', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'handlers-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'mine.mjs'), 'export default {};');
  const alone = await build([folder]);
  const both = await build([folder, 'libs/handlers/src']);
  onTestFinished(() => [alone, both].forEach((out) => rmSync(out, { recursive: true })));
  expect(both).not.toBe(alone);
});
