import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { postgresPlace } from '@bullpen/runtime';
import { createAuthority } from '@bullpen/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const base = 'postgres://me:secret@db.example.com:5432/bullpen';
const authority = createAuthority();
let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bullpen-tls-'));
  file = join(folder, 'ca.pem');
  await writeFile(file, authority.cert);
  await writeFile(join(folder, 'empty.pem'), 'nothing');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('sslmode', () => {
  it('is plain text where nothing is asked for, or disable', () => {
    for (const words of ['', '?sslmode=disable'])
      expect(postgresPlace(base + words)).toEqual({ url: base, mode: 'disable', ssl: false });
  });

  it.each(['require', 'verify-full'])('%s verifies the certificate and its name', (mode) => {
    const { url, ssl } = postgresPlace(`${base}?sslmode=${mode}&application_name=x&channel_binding=require`);
    expect(url).toBe(`${base}?application_name=x`);
    expect(ssl).toMatchObject({ rejectUnauthorized: true, host: 'db.example.com', servername: 'db.example.com' });
    const name = (ssl as { checkServerIdentity: (host: string, cert: object) => Error | undefined })
      .checkServerIdentity;
    expect(name('db.example.com', { subject: {}, subjectaltname: 'DNS:other' })).toBeInstanceOf(Error);
  });

  it('verify-ca minds the CA and no name; no-verify minds nothing', () => {
    const { ssl } = postgresPlace(`${base}?sslmode=verify-ca&sslrootcert=${file}`);
    expect(ssl).toMatchObject({ rejectUnauthorized: true, ca: authority.cert });
    expect(postgresPlace(`${base}?sslmode=no-verify`).ssl).toMatchObject({ rejectUnauthorized: false });
  });

  it('has an address checked as an address', () => {
    for (const [host, shown] of [
      ['10.0.0.5', '10.0.0.5'],
      ['[::1]', '::1'],
    ]) {
      const { ssl } = postgresPlace(`postgres://me@${host}/bullpen?sslmode=verify-full&sslrootcert=system`);
      expect(ssl).toMatchObject({ host: shown });
      expect(ssl).not.toHaveProperty('servername');
      expect(ssl).not.toHaveProperty('ca');
    }
  });

  it.each([
    ['sslmode=prefer', /^DATABASE_URL: sslmode must be one of .*no-verify \(prefer may fall back .*use verify-full$/],
    ['sslmode=verify_full', /must be one of disable, require, .* \(there is no verify_full\)/],
    ['sslmode=', /must be one of/],
    ['ssl=true', /ssl is not known: use sslmode/],
    ['sslmode=require&sslcert=x', /sslcert is not known/],
    ['sslmode=verify-ca', /verify-ca needs sslrootcert=<file>/],
    ['sslmode=verify-ca&sslrootcert=system', /verify-ca needs sslrootcert=<file>/],
    ['sslrootcert=x', /sslrootcert does nothing without sslmode/],
    ['sslmode=no-verify&channel_binding=require', /channel_binding=require needs sslmode=verify-full/],
    ['sslmode=require&sslrootcert=/nowhere/ca.pem', /sslrootcert \/nowhere\/ca.pem cannot be read \(ENOENT\)/],
  ])('%s is refused in one line, without the password', (words, line) => {
    const refusal = (): unknown => postgresPlace(`${base}?${words}`);
    expect(refusal).toThrow(line);
    expect(refusal).toThrow(expect.objectContaining({ exitCode: 78 }));
    expect(refusal).not.toThrow(/secret|\n/);
  });

  it('refuses a file without a certificate', () => {
    const words = `sslmode=require&sslrootcert=${join(folder, 'empty.pem')}`;
    expect(() => postgresPlace(`${base}?${words}`)).toThrow(/empty.pem holds no certificate/);
  });
});
