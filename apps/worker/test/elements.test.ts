import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elementOf, placesOf } from '../src/lines/elements.ts';

const spaces = fc.constantFrom('', ' ', '\n', '\t ');

describe('the elements of a JSON list', () => {
  it('are read one by one as all of them are, whatever is in them and between', () => {
    const lists = fc.array(fc.tuple(spaces, fc.json({ stringUnit: 'binary' }), spaces));
    const property = fc.property(lists, spaces, (elements, space) => {
      const list = `${space}[${elements.map((parts) => parts.join('')).join(',')}${space}]${space}`;
      const places = placesOf(list);
      const values = JSON.parse(list) as unknown[];
      expect(values.map((_, at) => elementOf(list, places, at))).toEqual(values);
    });
    fc.assert(property, { numRuns: 1000 });
  });

  it('may have quotes, backslashes and brackets in their texts', () => {
    const values = ['"', '\\', '\\"', '],[', { '{': '}"', '\\\\': ['"]'] }, '', '\\\\"', 'é😀'];
    const list = JSON.stringify(values);
    expect(values.map((_, at) => elementOf(list, placesOf(list), at))).toEqual(values);
  });
});
