import { type ProblemError, problemErrorsMax } from '@bullpen/api';
import type { UploadedChunk } from '@bullpen/db';
import { HttpProblem } from '../http/problem.ts';
import type { Check, Checked, Faults } from './check.ts';
import { type Cutter, InputTooLarge, type Skipped } from './chunk.ts';
import type { Turns } from './turns.ts';

/** Texts that came together, each of which is an input; '' is none. */
export interface Block {
  texts: readonly string[];
  /** The line, from 1, on which a text begins. */
  lineOf: (at: number) => number;
  /** What is wrong with a text apart from its JSON, by its place. */
  faults?: ReadonlyMap<number, string>;
}

export interface ReadRules {
  handler: string;
  check: Check;
  cutter: Cutter;
  turns: Turns;
  itemsMax: number;
  tooMany?: (line: number) => HttpProblem;
  maxBytes: number;
  /** What becomes of a line that cannot be taken: all is refused, it fails alone, or it is only told. */
  onInvalid: 'refuse' | 'skip' | 'tell';
  /** Takes chunks away; its promise holds the reading back. */
  store: (chunks: readonly UploadedChunk[]) => Promise<void>;
}

export interface WhatCame {
  items: number;
  skipped: number;
  /** The first hundred, where they are told. */
  errors: ProblemError[];
}

/** Faults of one text that its error names. */
const faultsNamed = 3;
/** The clock is looked at after this many texts. */
const textsPerLook = 32;

/**
 * Reads inputs block by block: each is checked and cut into chunks, in slices of 2 ms, so that other requests are served.
 * Throws HttpProblem with the numbers of the lines that are in the way.
 */
export async function readItems(blocks: AsyncIterable<Block>, rules: ReadRules): Promise<WhatCame> {
  const { check, cutter, turns } = rules;
  const came: WhatCame = { items: 0, skipped: 0, errors: [] };

  function take(text: string, at: number, block: Block): Faults | null {
    came.items += 1;
    const line = block.lineOf(at);
    if (came.items > rules.itemsMax) throw (rules.tooMany ?? tooManyOf(rules.itemsMax))(line);
    const fault = block.faults?.get(at);
    const { value, faults } = fault === undefined ? check(text, line) : noRow(fault, line);
    if (faults !== null && rules.onInvalid !== 'skip') return faults;
    if (faults !== null) came.skipped += 1;
    try {
      if (faults === null) cutter.push(text, value);
      else cutter.push(faults.syntax ? JSON.stringify(text) : text, value, errorOf(faults));
    } catch (error) {
      throw error instanceof InputTooLarge ? tooLarge(line, rules.maxBytes) : error;
    }
    return null;
  }

  for await (const block of blocks) {
    let refused: Faults | null = null;
    for (let at = 0; at < block.texts.length; at += 1) {
      const text = block.texts[at]!;
      const faults = isBlank(text) ? null : take(text, at, block);
      if (faults !== null) {
        came.errors.push(...faults.errors.slice(0, problemErrorsMax - came.errors.length));
        refused ??= rules.onInvalid === 'refuse' ? faults : null;
        if (refused && came.errors.length >= problemErrorsMax) break;
      }
      if (at % textsPerLook === 0 && turns.isOver()) await turns.next();
    }
    if (refused !== null) throw refusal(refused, came.errors, rules.handler);
    const chunks = cutter.take();
    if (rules.onInvalid !== 'tell' && chunks.length > 0) await rules.store(chunks);
  }
  const chunks = cutter.end();
  if (rules.onInvalid !== 'tell' && chunks.length > 0) await rules.store(chunks);
  return came;
}

/** Its text is JSON of something else than the row that it should be. */
const noRow = (message: string, line: number): Checked => ({
  value: undefined,
  faults: { syntax: false, errors: [{ line, message }] },
});

const isBlank = (text: string): boolean => text === '' || (text.length < 100 && text.trim() === '');

/** What the result of a skipped item says: the same code that a worker gives. */
function errorOf({ errors }: Faults): Skipped {
  const said = errors
    .slice(0, faultsNamed)
    .map(({ pointer, message }) => (pointer ? `${pointer}: ${message}` : message));
  return { code: 'invalid-input', message: `line ${errors[0]?.line}: ${said.join('; ')}` };
}

function refusal({ syntax }: Faults, errors: readonly ProblemError[], handler: string): HttpProblem {
  const [{ line, message, pointer = '' }] = errors as [ProblemError];
  const detail = `${syntax ? 'is no JSON' : `does not fit the handler ${handler}`}: ${pointer ? `${pointer} ` : ''}${message}`;
  return new HttpProblem(syntax ? 'malformed' : 'invalid', `Line ${line} ${detail}`, { errors });
}

const tooManyOf =
  (itemsMax: number) =>
  (line: number): HttpProblem =>
    new HttpProblem('too-large', `A batch may have ${itemsMax} items (MAX_ITEMS_PER_BATCH)`, {
      errors: [{ line, message: `is item ${itemsMax + 1}` }],
    });

const tooLarge = (line: number, maxBytes: number): HttpProblem =>
  new HttpProblem('too-large', `Line ${line} is too large as JSON: CHUNK_MAX_BYTES is ${maxBytes}`, {
    errors: [{ line, message: `has more than ${maxBytes - 2} bytes as JSON` }],
  });
