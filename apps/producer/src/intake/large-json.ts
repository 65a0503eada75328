import { pointerOf, type ProblemError, problemErrorsMax } from '@bullpen/api';
import type { UploadedChunk } from '@bullpen/db';
import { HttpProblem } from '../http/problem.ts';
import { type Checked, createCheck } from './check.ts';
import { createInputCutter, type InputRules } from './inputs.ts';
import { parseJson } from './json.ts';
import type { Turns } from './turns.ts';

/** From this length on a body is read in slices: 16 MiB of it at once would stop the loop for 2 s. */
export const largeChars = 128 * 1024;
/** What is no list of inputs is read at once, and may have so many: params have 256 KiB at most. */
const restMaxChars = 512 * 1024;
/** The clock is looked at after so many characters. */
const charsPerLook = 32 * 1024;

const code = {
  quote: 0x22,
  backslash: 0x5c,
  comma: 0x2c,
  colon: 0x3a,
  list: 0x5b,
  listEnd: 0x5d,
  object: 0x7b,
  objectEnd: 0x7d,
};

/** A list in a text: its brackets stand before `from` and at `to`. */
export interface List {
  from: number;
  to: number;
  size: number;
}

/**
 * A large body: all of it but the elements of its list `inputs`, and where these stand. They are looked at one by one later, in
 * slices; instead of them stands one `null`. Null where there is no such list, or two: then it is read at once, if it is not too
 * large for that.
 */
export async function readLarge(text: string, turns: Turns): Promise<{ body: unknown; list: List } | null> {
  const list = await findInputs(text, turns);
  if (list === null) return atOnce(text, 'an object with one list "inputs"');
  const rest = `${text.slice(0, list.from)}${list.size > 0 ? 'null' : ''}${text.slice(list.to)}`;
  refuseLongRest(rest);
  return { body: parseJson(rest), list };
}

/** Read at once it would stop the loop; and nothing of that size is a body that is taken. */
function atOnce(text: string, what: string): null {
  if (text.length <= restMaxChars) return null;
  throw new HttpProblem('malformed', `A body of this size must be ${what}, from its first bracket to its last`);
}

function refuseLongRest(rest: string): void {
  if (rest.length <= restMaxChars) return;
  throw new HttpProblem(
    'too-large',
    `All but the inputs may have ${restMaxChars} characters: params are what all items share`,
  );
}

const unseen: Checked = { value: undefined, faults: null };

/** The elements of the list as chunks, each checked as an input of the handler. */
export async function cutLarge(text: string, list: List, rules: InputRules): Promise<UploadedChunk[]> {
  const { handler, turns, pointer: base } = rules;
  if (list.size === 0) return [];
  const check = createCheck(handler);
  const { cutter, push } = createInputCutter(rules);
  const errors: ProblemError[] = [];
  let syntax = false;
  let index = 0;
  await walk(text, list.from, list.to, turns, (start, end) => {
    const element = text.slice(start, end).trim();
    // One that fits no chunk is not looked at: it may have all of the body's 16 MiB.
    const { value, faults } = element.length > rules.maxBytes ? unseen : check(element, 1);
    if (faults === null && errors.length === 0) push(element, value, index);
    syntax ||= faults?.syntax === true;
    for (const { pointer = '', message } of faults?.errors ?? [])
      if (errors.length < problemErrorsMax)
        errors.push({ pointer: `${pointerOf([...base, index])}${pointer}`, message });
    index += 1;
    return errors.length < problemErrorsMax;
  });
  if (errors.length === 0) return cutter.end();
  const detail = syntax ? 'The inputs are no JSON' : `The inputs do not fit the handler ${handler.name}`;
  throw new HttpProblem(syntax ? 'malformed' : 'invalid', detail, { errors });
}

/** The elements of a body that is a list; null where it is none: then it is read at once, which says why. */
export async function readLargeList(text: string, turns: Turns): Promise<List | null> {
  const none = (): null => atOnce(text, 'one list');
  const from = text.indexOf('[') + 1;
  if (from === 0 || text.slice(0, from - 1).trim() !== '') return none();
  let size = 0;
  const to = await walk(text, from, text.length, turns, () => ((size += 1), true));
  if (text.charCodeAt(to) !== code.listEnd || text.slice(to + 1).trim() !== '') return none();
  return { from, to, size: sizeOf(text, from, to, size) };
}

/** Between the brackets of an empty list stands nothing, which looks like one piece. */
const sizeOf = (text: string, from: number, to: number, pieces: number): number =>
  pieces === 1 && text.slice(from, to).trim() === '' ? 0 : pieces;

/** Looks for `"inputs": [` in the object that the text is. */
async function findInputs(text: string, turns: Turns): Promise<List | null> {
  const key = /"inputs"\s*:\s*\[/g;
  let found: List | null = null;
  for (let match = key.exec(text); match !== null; match = key.exec(text)) {
    if (found !== null || (await depthAt(text, match.index, turns)) !== 1) return null;
    const from = match.index + match[0].length;
    let size = 0;
    const to = await walk(text, from, text.length, turns, () => ((size += 1), true));
    if (text.charCodeAt(to) !== code.listEnd) return null;
    found = { from, to, size: sizeOf(text, from, to, size) };
    key.lastIndex = to;
  }
  return found;
}

/** How deep a place is nested; −1 within a string. */
async function depthAt(text: string, place: number, turns: Turns): Promise<number> {
  let depth = 0;
  for (let at = 0; at < place; at += 1) {
    const char = text.charCodeAt(at);
    if (char === code.quote) at = stringEnd(text, at);
    else if (char === code.list || char === code.object) depth += 1;
    else if (char === code.listEnd || char === code.objectEnd) depth -= 1;
    if (at > place) return -1;
    if (at % charsPerLook === 0 && turns.isOver()) await turns.next();
  }
  return depth;
}

/**
 * Goes over the elements of a list and tells where each begins and ends, until it is told to stop. Answers where the list ends.
 * What is no JSON is cut somewhere, which the check of the pieces finds.
 */
async function walk(
  text: string,
  from: number,
  to: number,
  turns: Turns,
  each: (start: number, end: number) => boolean,
): Promise<number> {
  let depth = 0;
  let start = from;
  let looked = from;
  let at = from;
  for (; at < to; at += 1) {
    const char = text.charCodeAt(at);
    if (char === code.quote) at = stringEnd(text, at);
    else if (char === code.list || char === code.object) depth += 1;
    else if (char === code.listEnd || char === code.objectEnd) {
      if (depth === 0) break;
      depth -= 1;
    } else if (char === code.comma && depth === 0) {
      if (!each(start, at)) return at;
      start = at + 1;
    }
    if (at - looked > charsPerLook || (char === code.comma && depth === 0 && turns.isOver())) {
      looked = at;
      if (turns.isOver()) await turns.next();
    }
  }
  each(start, at);
  return at;
}

/** The quote that ends a string. */
function stringEnd(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === code.backslash) backslashes += 1;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}
