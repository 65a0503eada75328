import { problemErrorsMax } from '@bullpen/api';
import { defineHandler, type Handler } from '@bullpen/handlers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { HttpProblem } from '../src/http/problem.ts';
import { cutLarge, readLarge, readLargeList } from '../src/intake/large-json.ts';
import { createTurns } from '../src/intake/turns.ts';

const echo = defineHandler({ name: 'echo', description: 'x', run: (input) => input });
const add = defineHandler({
  name: 'add',
  description: 'x',
  input: z.object({ a: z.number() }),
  run: () => 0,
}) as Handler;
const rules = { sizeFor: () => 3, maxBytes: 100_000, lines: null, turns: createTurns(), pointer: ['inputs'] };

async function inputsOf(text: string, handler = echo): Promise<{ body: unknown; inputs: unknown } | null> {
  const large = await readLarge(text, rules.turns);
  if (large === null) return null;
  const chunks = await cutLarge(text, large.list, { ...rules, handler });
  const inputs = chunks.flatMap(({ items }) => JSON.parse(items) as unknown[]);
  expect(inputs.length).toBe(large.list.size);
  return { body: large.body, inputs };
}

const problemOf = async (text: string, handler = echo): Promise<HttpProblem> => {
  const error: unknown = await inputsOf(text, handler).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(HttpProblem);
  return error as HttpProblem;
};

describe('a large body', () => {
  it('is the same as read at once, whatever stands in it', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.json(), { minLength: 1 }),
        fc.json(),
        fc.constantFrom('', ' ', '\n'),
        async (texts, params, space) => {
          // These are refused.
          fc.pre(![...texts, params].some((text) => /[0-9]{16}|[0-9]e\+/i.test(text)));
          const parts = [
            `"handler":"echo"`,
            `"inputs"${space}:${space}[${texts.join(`${space},${space}`)}${space}]`,
            `"params":${params}`,
          ];
          const found = await inputsOf(`{${parts.join(`,${space}`)}}${space}`);
          // A second list of that name, within params, makes it one that is read at once.
          if (found === null) return expect(params).toMatch(/"inputs"\s*:\s*\[/);
          expect(found).toEqual({
            body: { handler: 'echo', inputs: [null], params: JSON.parse(params) as unknown },
            inputs: texts.map((text) => JSON.parse(text) as unknown),
          });
        },
      ),
    ));

  it('is not looked into where there is no such list, or more than one, or one of another object', async () => {
    for (const text of [
      '{"count":1}',
      '{"inputs":5}',
      '{"inputs":[1],"inputs":[2]}',
      '{"params":{"inputs":[1]}}',
      '{"x":"\\"inputs\\":[1]"}',
      '{"inputs":[1',
    ])
      expect(await inputsOf(text)).toBeNull();
    expect(await inputsOf('{"inputs":[ ]}')).toEqual({ body: { inputs: [] }, inputs: [] });
  });

  it('is refused by the place of the input', async () => {
    expect(await problemOf('{"inputs":[{"a":1},{"a":"x"},{}]}', add)).toMatchObject({
      slug: 'invalid',
      errors: [{ pointer: '/inputs/1/a' }, { pointer: '/inputs/2/a' }],
    });
    for (const [inputs, at] of [
      ['1,,2', 1],
      ['1,', 1],
      ['1 2', 0],
      ['{"a":1', 0],
      ['[1}', 0],
      ['"', 0],
    ] as const) {
      const problem = await problemOf(`{"inputs":[${inputs}]}`).catch(() => null);
      // What has no end is read at once.
      if (problem !== null)
        expect(problem).toMatchObject({ slug: 'malformed', errors: [{ pointer: `/inputs/${at}` }] });
    }
    const many = await problemOf(`{"inputs":[${'{},'.repeat(500)}{}]}`, add);
    expect(many.errors).toHaveLength(problemErrorsMax);
    await expect(problemOf('{"handler":x,"inputs":[1]}')).resolves.toMatchObject({ slug: 'malformed' });
  });

  it('is never read at once where that would take long', async () => {
    const long = 'x'.repeat(600_000);
    const looked: unknown[] = [];
    const watching = { ...echo, input: z.unknown().refine((input) => looked.push(input) > 0) } as Handler;
    expect(await problemOf(`{"inputs":[1,"${long}",2]}`, watching)).toMatchObject({
      slug: 'too-large',
      errors: [{ pointer: '/inputs/1' }],
    });
    expect(looked).toEqual([1]);
    expect(await problemOf(`{"inputs":[1],"params":"${long}"}`)).toMatchObject({ slug: 'too-large' });
    for (const text of [
      `{"inputs":[1],"inputs":["${long}"]}`,
      `{"inputs":["${long}"`,
      `{"params":"${long}","count":1}`,
    ])
      expect(await problemOf(text)).toMatchObject({ slug: 'malformed' });
    await expect(readLargeList(`{"a":"${long}"}`, rules.turns)).rejects.toMatchObject({ slug: 'malformed' });
    expect(await readLarge(`{"count":1,"params":"${'x'.repeat(200_000)}"}`, rules.turns)).toBeNull();
  });

  it('may be a list itself', async () => {
    expect(await readLargeList(' [1,[2,3],{"a":[4]}] ', rules.turns)).toMatchObject({ size: 3 });
    expect(await readLargeList('[]', rules.turns)).toMatchObject({ size: 0 });
    for (const text of ['{}', '[1', '[1] 2', '1', '{"a":[1]}'])
      expect(await readLargeList(text, rules.turns)).toBeNull();
  });
});
