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
export function findInvalid(bytes: Buffer): number {
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
