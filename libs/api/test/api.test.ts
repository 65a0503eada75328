import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { faultsOf, newBatchSchema, pointerOf, problemOf, problemSchema } from '../src/index.ts';
import { linesOf } from '../src/lines.ts';

describe('lines of a stream', () => {
  async function* inParts(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }

  test('are the same wherever the stream was cut, within a letter too', async () => {
    const lines = fc.array(fc.string({ unit: 'grapheme', minLength: 1 }).filter((line) => !line.includes('\n')));
    await fc.assert(
      fc.asyncProperty(lines, fc.integer({ min: 1, max: 9 }), fc.boolean(), async (lines, size, ended) => {
        const bytes = Buffer.from(lines.join('\n') + (ended ? '\n' : ''));
        const got: string[] = [];
        for await (const line of linesOf(inParts(bytes, size))) got.push(line);
        expect(got).toEqual(lines);
      }),
    );
  });
});

test('faults point into the body', () => {
  const schema = z.object({ 'a/b': z.array(z.strictObject({ n: z.number() })) });
  const { error } = schema.safeParse({ 'a/b': [{ n: 1 }, { n: 'x', more: 1 }] });
  expect(faultsOf(error!, ['inputs', 3]).map(({ pointer }) => pointer)).toEqual([
    '/inputs/3/a~1b/1/n',
    '/inputs/3/a~1b/1/more',
  ]);
  expect(pointerOf([])).toBe('');
});

test('a problem names at most a hundred faults', () => {
  const errors = Array.from({ length: 500 }, (_, line) => ({ line, message: 'bad' }));
  const problem = problemSchema.parse(problemOf('invalid', { detail: 'd', instance: '/x', errors }));
  expect(problem).toMatchObject({ type: '/problems/invalid', status: 422, instance: '/x' });
  expect(problem.errors!.length).toBe(100);
});

test('the request has a JSON schema', () => {
  expect(z.toJSONSchema(newBatchSchema, { io: 'input' })).toMatchObject({
    type: 'object',
    additionalProperties: false,
    required: ['handler'],
  });
});
