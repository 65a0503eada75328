import { describe, expect, it } from 'vitest';
import { Retry, retryAfterMs } from '../kit/index.ts';

describe('the wait that Retry-After asks for', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');

  it.each([
    ['seconds', '120', 120_000],
    ['none', '0', 0],
    ['a date to come', 'Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    ['a date that has passed', 'Wed, 31 Dec 2025 23:59:00 GMT', 0],
    ['no header', null, 1000],
    ['a negative number', '-5', 1000],
    ['a fraction', '1.5', 1000],
    ['more digits than a wait has', '9999999999', 1000],
    ['nonsense', 'soon', 1000],
  ])('is read from %s', (_, header, ms) => {
    expect(retryAfterMs(header, 1000, now)).toBe(ms);
  });
});

it.each([NaN, Infinity, undefined, '5'])('a Retry of %s ms is an error that says so', (afterMs) => {
  expect(() => new Retry({ afterMs: afterMs as number })).toThrow(`afterMs as a number of ms, not ${String(afterMs)}`);
});
