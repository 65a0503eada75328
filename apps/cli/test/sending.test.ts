import { PassThrough } from 'node:stream';
import { ApiError, problemOf, type ProblemSlug, UnreachableError } from '@bullpen/api';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cutPieces } from '../src/input/pieces.ts';
import { sendUnderKey } from '../src/sending.ts';

const broken = new UnreachableError('http://there', 'broke off', null);
const silent = new UnreachableError('http://there', 'silent', null);
const said = (slug: ProblemSlug): ApiError => new ApiError(problemOf(slug, { detail: 'words', instance: '/' }));

/** Answers what comes of sending something whose tries end so; it is taken when they are through. */
async function sending(faults: readonly Error[], { repeatable = true } = {}) {
  const stderr = new PassThrough();
  const context = { env: {}, folder: '.', stdin: new PassThrough(), stdout: stderr, stderr, setExitCode: () => {} };
  let tries = 0;
  const send = async (): Promise<string> => {
    const fault = faults[tries++];
    if (fault !== undefined) throw fault;
    return 'taken';
  };
  const answer = await sendUnderKey(context, { key: 'k', repeatable, waitsMs: [1, 1, 1] }, send).catch(
    (error: Error) => error,
  );
  return {
    tries,
    answer,
    lines: String(stderr.read() ?? '')
      .split('\n')
      .slice(0, -1),
  };
}

describe('a request under a key', () => {
  test('is sent again while the connection breaks, nobody is there any more, or the first one is still read', async () => {
    const { tries, answer, lines } = await sending([broken, silent, said('in-progress')]);
    expect({ tries, answer }).toEqual({ tries: 4, answer: 'taken' });
    expect(lines[0]).toMatch(
      /^The connection .* broke off .* Sending it again under the same key in 1 ms \(1 of 3\)\.$/,
    );
    expect(lines).toHaveLength(3);
  });

  test('that is refused is not sent again', async () => {
    expect(await sending([said('invalid')])).toMatchObject({ tries: 1, answer: { status: 422 }, lines: [] });
    expect(await sending([broken, said('key-reused')])).toMatchObject({ tries: 2, answer: { status: 422 } });
  });

  test('to nobody is not sent again', async () => {
    expect(await sending([silent])).toEqual({ tries: 1, answer: silent, lines: [] });
  });

  test('says after the last try that nobody knows, and how to go on', async () => {
    const { tries, answer } = await sending([broken, broken, broken, silent]);
    expect(tries).toBe(4);
    expect(String(answer)).toMatch(/Nobody knows whether it was taken\. Look: .*--key k: it is then taken once\.$/);
  });

  test('from stdin is sent once', async () => {
    const { tries, answer } = await sending([broken], { repeatable: false });
    expect(tries).toBe(1);
    expect(String(answer)).toContain('It cannot be read from stdin again, and nobody knows whether it was taken.');
  });
});

describe('pieces of NDJSON', () => {
  async function* inParts(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }
  const cut = async (text: string, size: number) => {
    const pieces = [];
    for await (const piece of cutPieces(inParts(Buffer.from(text), size), { bytes: 12, items: 3 }))
      pieces.push({ ...piece, text: piece.bytes.toString() });
    return pieces;
  };

  test('hold all lines within the bounds, at the same cuts however the text comes', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('', ' ', '1', '22', '"é"', '4444444', '\r')),
        fc.boolean(),
        fc.integer({ min: 1, max: 40 }),
        async (lines, ended, size) => {
          const text = lines.join('\n') + (ended ? '\n' : '');
          const pieces = await cut(text, size);
          expect(pieces).toEqual(await cut(text, 1000));
          const found = pieces.flatMap((piece) =>
            piece.text.split('\n').map((line, at) => [piece.linesBefore + at, line.trim()] as const),
          );
          const isItem = ([, line]: readonly [number, string]): boolean => line !== '';
          expect(found.filter(isItem)).toEqual(
            text
              .split('\n')
              .map((line, at) => [at, line.trim()] as const)
              .filter(isItem),
          );
          for (const { bytes, items, text } of pieces) {
            expect(items).toBe(text.split('\n').filter((line) => line.trim() !== '').length);
            expect([bytes.length <= 12, items <= 3, items > 0]).toEqual([true, true, true]);
          }
        },
      ),
    ));

  test('cannot hold a line that is longer than all', async () => {
    await expect(cut('1\n"123456789012"\n', 5)).rejects.toThrow('Line 2 has more than 12 bytes');
  });
});
