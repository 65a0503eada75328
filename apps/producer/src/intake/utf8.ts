import { HttpProblem } from '../http/problem.ts';

/** Bytes as text. Invalid UTF-8 is refused with its place instead of becoming U+FFFD. A byte order mark at the start is left out. */
export function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new HttpProblem('malformed', `The body is no UTF-8: the sequence at byte ${findInvalid(bytes)} is not valid`);
  }
}

/** The offset of the first invalid sequence, by bisection: the longest prefix that is valid, if more may follow. */
function findInvalid(bytes: Buffer): number {
  let valid = 0;
  let invalid = bytes.length + 1;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    if (isValidStart(bytes.subarray(0, middle))) valid = middle;
    else invalid = middle;
  }
  // The prefix may end within a sequence that is cut or goes wrong: its first byte is the one to name.
  let start = valid;
  while (start > 0 && valid - start < 3 && (bytes[start - 1]! & 0xc0) === 0x80) start -= 1;
  return start > 0 && bytes[start - 1]! >= 0xc0 && !isComplete(bytes.subarray(start - 1, valid)) ? start - 1 : valid;
}

function isValidStart(bytes: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}

const isComplete = (sequence: Buffer): boolean => {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(sequence);
    return true;
  } catch {
    return false;
  }
};

/** What is no UTF-8, in bytes that begin at this offset and on this line of the body. */
export function notUtf8(bytes: Buffer, from: { offset: number; line: number }): HttpProblem {
  const at = findInvalid(bytes);
  const line = from.line + linesIn(bytes.subarray(0, at));
  const message = `the sequence at byte ${from.offset + at} is no UTF-8`;
  return new HttpProblem(
    'malformed',
    `The body is no UTF-8: the sequence at byte ${from.offset + at} (line ${line}) is not valid`,
    {
      errors: [{ line, message }],
    },
  );
}

/** How many lines end in these bytes. */
export function linesIn(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) lines += 1;
  return lines;
}
