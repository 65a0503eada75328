import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fingerprintOf } from '../src/fingerprint.ts';
import { placeRests } from '../src/statements/rests.ts';

const rest = fc.record({
  no: fc.nat(),
  first: fc.nat(),
  size: fc.integer({ min: 1, max: 10_000 }),
  picks: fc.constant(null),
  attempt: fc.integer({ min: 1, max: 25 }),
  delayMs: fc.nat(5000),
  srcs: fc.uniqueArray(fc.nat(40), { maxLength: 16 }).map((srcs) => srcs.sort((a, b) => a - b)),
  bytes: fc.nat(3_000_000),
});
const mergeable = fc.tuple(rest, fc.constantFrom('a', 'b', null)).map(([rest, merge]) => (merge === null ? rest : { ...rest, merge })); // prettier-ignore

describe('placeRests', () => {
  it('places each once, beside its like only, within what a row and a claim may hold', () => {
    fc.assert(
      fc.property(fc.array(mergeable, { maxLength: 60 }), (rests) => {
        const placed = placeRests(rests);
        const count = (list: readonly { no: number; first: number; size: number }[]): string[] =>
          list.map(({ no, first, size }) => `${no} ${first} ${size}`).sort();
        expect(count(placed)).toEqual(count(rests));
        const groups = new Map<number | null, typeof placed>();
        for (const each of placed) groups.set(each.group, [...(groups.get(each.group) ?? []), each]);
        for (const [group, members] of groups) {
          if (group === null) continue;
          expect(members.length).toBeGreaterThan(1);
          expect(members[0]!.merge).toBeDefined();
          expect(new Set(members.map(({ merge, delayMs, srcs }) => JSON.stringify([merge, delayMs, srcs]))).size).toBe(
            1,
          );
          expect(members.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(10_000);
          expect(members.reduce((sum, { bytes }) => sum + bytes!, 0)).toBeLessThanOrEqual(4 * 1024 * 1024);
          expect(members[0]!.srcs?.length ?? 0).toBeLessThanOrEqual(16);
        }
      }),
    );
  });

  it('makes one row of what fits into one', () => {
    const rests = Array.from({ length: 10 }, (_, no) => ({ no, first: no * 1000, size: 1000, picks: null, attempt: 2, delayMs: 500 + no, merge: 'same' })); // prettier-ignore
    const placed = placeRests(rests);
    expect(new Set(placed.map(({ group }) => group)).size).toBe(1);
    expect(new Set(placed.map(({ delayMs }) => delayMs))).toEqual(new Set([500]));
  });
});

describe('fingerprintOf', () => {
  const of = (message: string, code = 'error'): string => fingerprintOf({ code, message });

  it('is the same for errors that differ in numbers, ids, quoted words and paths, and for no others', () => {
    const same = [
      ['user 17 is gone', 'user 9004 is gone'],
      ['no such id 0198c3a4-1111-7000-8000-00000000000a', 'no such id 0198c3a4-2222-7000-8000-00000000000b'],
      [`cannot read "a b" of 'x'`, `cannot read "c" of 'y z'`],
      ['ENOENT: /srv/a/1.txt', 'ENOENT: /home/bob/2.txt'],
      ['at 0xdeadbeef', 'at 0x17'],
      ['took 1.5 s of 2,000', 'took 3 s of 10'],
      ['commit 5d41402abc4b2a76 failed', 'commit 7d793037a0760186 failed'],
    ] as const;
    for (const [a, b] of same) expect(of(a)).toBe(of(b));
    expect(new Set(same.map(([a]) => of(a))).size).toBe(same.length);
    expect(of('user 17 is gone', 'other')).not.toBe(of('user 17 is gone'));
    expect(of("can't do it, don't ask")).not.toBe(of("can't say it, don't ask"));
  });

  it('is twelve hex digits for whatever text, and the same each time', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 1000 }), fc.string(), (message, code) => {
        expect(of(message, code)).toMatch(/^[0-9a-f]{12}$/);
        expect(of(message, code)).toBe(of(message, code));
      }),
    );
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.uuid(), fc.uuid(), (a, b, c, d) => {
        expect(of(`item ${a} of ${c} is bad`)).toBe(of(`item ${b} of ${d} is bad`));
      }),
    );
  });
});
