import { createQuiet } from '@bullpen/runtime';
import { expect, it } from 'vitest';

it('says each kind once a second, and how many were left out', () => {
  const said: object[] = [];
  let now = 0;
  const say = createQuiet((facts) => said.push(facts), { now: () => now }); // prettier-ignore
  for (now = 0; now < 2500; now += 10) say('57014', { at: now });
  say('40001', { at: now });
  expect(said).toEqual([{ at: 0 }, { at: 1000, unsaid: 99 }, { at: 2000, unsaid: 99 }, { at: 2500 }]);
});

it('says as many of a kind as it may', () => {
  const said: object[] = [];
  let now = 0;
  const say = createQuiet((facts) => said.push(facts), { most: 3, now: () => now });
  for (now = 0; now < 1500; now += 100) say('published', { at: now });
  expect(said).toEqual([0, 100, 200, 1000, 1100, 1200].map((at) => ({ at, ...(at === 1000 && { unsaid: 7 }) })));
});
