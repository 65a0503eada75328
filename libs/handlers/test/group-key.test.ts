import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createGroupKey, lineOf } from '@bullpen/handlers';

describe('a group key', () => {
  it.each<[groupBy: string, input: unknown, key: string | null]>([
    ['customer', { customer: 'a' }, 'a'],
    ['customer', { customer: '' }, ''],
    ['customer', { customer: 17 }, '17'],
    ['customer', { customer: '17' }, '17'],
    ['customer', { customer: -0 }, '0'],
    ['customer', { customer: 1e21 }, '1e+21'],
    ['customer', { customer: false }, 'false'],
    ['customer', { customer: null }, null],
    ['customer', { customer: {} }, null],
    ['customer', { customer: ['a'] }, null],
    ['customer', {}, null],
    ['customer', 'customer', null],
    ['customer', null, null],
    ['customer', undefined, null],
    ['a/b', { 'a/b': 'x' }, 'x'],
    ['~0', { '~0': 'x', '~': 'y' }, 'x'],
    ['/a/b', { a: { b: 'x' } }, 'x'],
    ['/a/b', { a: 'x' }, null],
    ['/a/b', { 'a/b': 'x' }, null],
    ['/a~1b/c~0d', { 'a/b': { 'c~d': 5 } }, '5'],
    ['/~01', { '~1': 'x', '/': 'y' }, 'x'],
    ['/', { '': 'x' }, 'x'],
    ['/a/1', { a: ['x', 'y'] }, 'y'],
    ['/a/01', { a: ['x', 'y'] }, null],
    ['/a/-', { a: ['x', 'y'] }, null],
    ['/0', ['x'], 'x'],
    ['length', ['x'], null],
    ['/a/length', { a: 'text' }, null],
    ['constructor', {}, null],
    ['/constructor/name', {}, null],
    ['/__proto__/toString/name', {}, null],
    ['__proto__', JSON.parse('{"__proto__":"x"}'), 'x'],
  ])('by %s of %j is %j', (groupBy, input, key) => {
    expect(createGroupKey(groupBy)(input)).toBe(key);
  });

  it('of a number or a boolean is its JSON', () => {
    const keyOf = createGroupKey('k');
    fc.assert(
      fc.property(fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean()), (k) => {
        expect(keyOf(JSON.parse(JSON.stringify({ k })))).toBe(JSON.stringify(k));
      }),
    );
  });
});

describe('the line of a key', () => {
  it('is the same for ever: what is stored stands in it', () => {
    const keys = ['', 'a', 'b', '17', 'customer-1', 'customer-2', 'ä', '€', '🐂', '\ud800'];
    expect(keys.map((key) => lineOf(key, 12))).toEqual([11, 3, 6, 4, 0, 2, 8, 3, 10, 2]);
    expect(keys.map((key) => lineOf(key, 256))).toEqual([11, 179, 50, 68, 232, 118, 248, 215, 6, 238]);
  });

  it('is one of the partitions, and each gets its share of keys that follow one another', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 1024 }), (key, partitions) => {
        expect(lineOf(key, partitions)).toBeLessThan(partitions);
        expect(lineOf(key, partitions)).toBeGreaterThanOrEqual(0);
      }),
    );
    for (const [prefix, partitions] of [
      ['', 12],
      ['customer-', 16],
      ['0198c3a4-7a1e-7000-8000-', 7],
    ] as const) {
      const shares = Array<number>(partitions).fill(0);
      for (let i = 0; i < 1000 * partitions; i += 1) shares[lineOf(`${prefix}${i}`, partitions)]! += 1;
      expect(Math.min(...shares)).toBeGreaterThan(850);
      expect(Math.max(...shares)).toBeLessThan(1150);
    }
  });
});
