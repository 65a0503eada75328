import { errorFacts, maskSecrets, placeOf, SettingsError } from '@bullpen/runtime';
import { describe, expect, it } from 'vitest';

describe('what may be logged', () => {
  it.each([
    ['bp_a1b2_S3cr-et_x', 'bp_a1b2_***'],
    ['"key":"bp_a1b2_secret"', '"key":"bp_a1b2_***"'],
    ['Authorization: Bearer bp_a1_b', 'Authorization: Bearer ***'],
    ['basic dTpwYXNz+/=', 'basic ***'],
    ['{"authorization":"a \\"b\\" c","n":1}', '{"authorization":"***","n":1}'],
    ['postgres://u:p@h:5432/d and redis://:p%40q@h', 'postgres://u:***@h:5432/d and redis://:***@h'],
    ['"url":"postgres://u:a@b\\"c@h/d","at":"x@y"', '"url":"postgres://u:***@h/d","at":"x@y"'],
    ['pg://h/d?user=u&password=p&x=1', 'pg://h/d?user=u&password=***&x=1'],
    ['"url":"http://h:3000","mail":"a@b"', '"url":"http://h:3000","mail":"a@b"'],
    ['http://h:3000/a?b=c@d', 'http://h:3000/a?b=c@d'],
    ['a bearer of bp_news', 'a bearer of bp_news'],
  ])('of %s', (text, masked) => {
    expect(maskSecrets(text)).toBe(masked);
  });

  it('of an error is never the query, its parameters, or the values that a server or Node repeats', () => {
    const query = Object.assign(new Error('Failed query: insert\nparams: marker'), { params: ['marker'] });
    const value = Object.assign(new Error('invalid input syntax for type bigint: "mar"ker"'), { code: '22P02' });
    const detail = Object.assign(new Error('duplicate key value violates "k"'), { code: '23505', detail: 'marker' });
    expect(errorFacts(query)).toEqual({ error: 'a query failed' });
    expect(errorFacts(Object.assign(query, { cause: detail }))).toEqual({ error: detail.message, code: '23505' });
    expect(errorFacts(value)).toEqual({ error: 'invalid input syntax for type bigint: "…"', code: '22P02' });
    expect(errorFacts(new SyntaxError(`Unexpected token 'm', "mar'ker" is not valid JSON`)).error).not.toMatch(
      /mar|ker/,
    );
    expect(errorFacts(new TypeError("must be a string. Received 'marker'")).error).toBe('must be a string. Received …');
    expect(errorFacts('marker')).toEqual({ error: 'a value (string) was thrown' });
  });

  it('of any other error is its class and place, never its words, whatever it does to be read', () => {
    const error = Object.assign(new RangeError('marker\n    at marker (x:1)'), { name: 'marker', code: 'marker-1' });
    const place = placeOf(error);
    expect(place.error).toBe('RangeError');
    expect(place.at![0]).toMatch(/^at .*error-facts\.test/);
    expect(JSON.stringify(place)).not.toContain('marker');
    expect(placeOf(Object.assign(new Error('x'), { code: 'ECONNRESET' }))).toMatchObject({ code: 'ECONNRESET' });
    const unreadable = Object.defineProperty(new Error('x'), 'message', { get: () => { throw new Error('marker'); } }); // prettier-ignore
    expect(placeOf(unreadable)).toEqual({ error: 'an error that cannot be read' });
    expect(placeOf(null)).toEqual({ error: 'null was thrown' });
  });

  it('of a setting is its value, but not where a secret stands under the wrong name', () => {
    expect(new SettingsError(['LOG_LEVEL must be one of …, not "postgres://u:marker@h"']).message).toBe(
      'LOG_LEVEL must be one of …, not "postgres://u:***@h"',
    );
  });
});
