import { readSettings, SettingsError, settingTable } from '@bullpen/runtime';
import { describe, expect, it } from 'vitest';

const problemsOf = (env: Record<string, string>): readonly string[] => {
  try {
    readSettings(env);
    return [];
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
};

/** .env.example, made from the table, so that no setting can be missing from it. */
function example(): string {
  const head = [
    '# Every setting of Bullpen with its unit, default and bounds. Copy this file to .env and uncomment what you change.',
    '',
  ];
  const entries = Object.entries(settingTable).flatMap(([name, setting]) => [
    `# ${setting.about} (${setting.unit}; ${setting.bounds})`,
    `# ${name}=${setting.shown}`,
    '',
  ]);
  return [...head, ...entries].join('\n');
}

describe('settings', () => {
  it('have the defaults of the contract', () => {
    expect(readSettings({})).toMatchObject({
      port: 3000, host: '127.0.0.1', dataDir: '.data', workers: 3, workerConcurrency: 'auto', workerChunks: 'auto', chunkSize: 1000,
      chunkMaxBytes: 1_048_576, chunkSliceMs: 1000, maxChunksPerBatch: 100_000, outputMaxBytes: 1_048_576, flushMaxBytes: 4_194_304,
      publishChunkSize: 100, flushMaxItems: 4000, flushIntervalMs: 5, claimJitterMs: 0, leaseMs: 5000, drainTimeoutMs: 25_000,
      databasePoolMax: 10, metricsWindowMs: 10_000, maxItemsPerBatch: 10_000_000,
    }); // prettier-ignore
    expect(readSettings({ PORT: '', WORKER_CONCURRENCY: '50' })).toMatchObject({ port: 3000, workerConcurrency: 50 });
    expect(readSettings({}).workerId).toMatch(/-\d+-[0-9a-f]{6}$/);
  });

  it('lists every problem at once', () => {
    expect(
      problemsOf({
        PORT: 'x',
        CHUNK_SIZE: '0',
        LOG_LEVEL: 'loud',
        WORKER_CHUNKS: 'many',
        DATABASE_URL: 'mysql://u:secret@h/d',
      }),
    ).toEqual([
      'PORT must be a whole number from 0 to 65535 (TCP port), not "x"',
      expect.stringMatching(/^DATABASE_URL must be a URL that starts with postgres:/),
      expect.stringMatching(/^WORKER_CHUNKS must be "auto" or/),
      'CHUNK_SIZE must be a whole number from 1 to 10000 (items), not "0"',
      expect.stringMatching(/^LOG_LEVEL must be one of fatal, error/),
    ]);
    expect(problemsOf({ DATABASE_URL: 'mysql://u:secret@h/d' }).join()).not.toContain('secret');
  });

  it('reads pins, and says what is wrong with them taken together', () => {
    expect(readSettings({ WORKER_PARTITIONS: '7, 0-3,2' })).toMatchObject({ workerPartitions: [0, 1, 2, 3, 7] });
    expect(readSettings({ WORKER_INDEX: '0', WORKER_COUNT: '1' })).toMatchObject({ workerIndex: 0, workerCount: 1 });
    expect(readSettings({})).toMatchObject({ workerIndex: undefined, workerPartitions: undefined });
    const cases: [Record<string, string>, RegExp][] = [
      [{ WORKER_INDEX: '3', WORKER_COUNT: '3' }, /^WORKER_INDEX must be less than WORKER_COUNT.* from 0 to 2$/],
      [{ WORKER_INDEX: '0' }, /^WORKER_INDEX needs WORKER_COUNT/],
      [{ WORKER_COUNT: '3' }, /^WORKER_COUNT needs WORKER_INDEX/],
      [{ WORKER_INDEX: '0', WORKER_COUNT: '3', WORKER_PARTITIONS: '1' }, /two ways to pin a worker: use one$/],
      [
        { WORKER_PARTITIONS: '0,5-3' },
        /^WORKER_PARTITIONS has a range that is upside down: 5-3; write 3-5, in "0,5-3"$/,
      ],
      [{ WORKER_PARTITIONS: '0-' }, /^WORKER_PARTITIONS must be numbers and ranges such as 0-3,7, not "0-"/],
      [{ WORKER_PARTITIONS: '1,,2' }, /not ""/],
      [{ WORKER_PARTITIONS: '200-256' }, /^WORKER_PARTITIONS must not go over 255: 200-256/],
      [{ WORKER_INDEX: '0', WORKER_COUNT: 'x' }, /^WORKER_COUNT must be a whole number/],
    ];
    for (const [env, words] of cases) {
      expect(problemsOf(env)).toEqual([expect.stringMatching(words)]);
    }
  });

  it('reads keys, names and proxies, and repeats no secret', () => {
    const key = `bp_admin_${'x'.repeat(32)}`;
    expect(
      readSettings({
        BULLPEN_ADMIN_KEY: key,
        ALLOWED_HOSTS: 'Bullpen.example.com, [::1]',
        TRUST_PROXY: 'loopback,10.0.0.0/8',
      }),
    ).toMatchObject({
      bullpenAdminKey: key,
      allowedHosts: ['bullpen.example.com', '[::1]'],
      trustProxy: ['loopback', '10.0.0.0/8'],
    });
    const cases: [Record<string, string>, RegExp][] = [
      [{ BULLPEN_ADMIN_KEY: 'hunter2' }, /^BULLPEN_ADMIN_KEY must be bp_<id>_<secret>(?!.*hunter2)/],
      [{ BULLPEN_API_KEY: 'bp_a_hunter2' }, /^BULLPEN_API_KEY must be bp_<id>_<secret>(?!.*hunter2)/],
      [{ ALLOWED_HOSTS: 'https://bullpen.example.com' }, /^ALLOWED_HOSTS must be names without a port .*not "https:/],
      [{ ALLOWED_HOSTS: 'a:3000' }, /^ALLOWED_HOSTS must be names without a port/],
      [{ TRUST_PROXY: 'true' }, /^TRUST_PROXY must be addresses or networks .*not "true"/],
      [{ TRUST_PROXY: '10.0.0.0/33' }, /^TRUST_PROXY must be addresses or networks/],
    ];
    for (const [env, words] of cases) expect(problemsOf(env)).toEqual([expect.stringMatching(words)]);
  });

  it('refuses in production what is for tests, and names it elsewhere', () => {
    const env = { TEST_BREAK_ORDER: 'barrier' };
    expect(readSettings(env)).toMatchObject({ testBreakOrder: 'barrier', testing: ['TEST_BREAK_ORDER'] });
    expect(readSettings({ NODE_ENV: 'production' })).toMatchObject({ testBreakOrder: 'nothing', testing: [] });
    expect(problemsOf({ ...env, NODE_ENV: 'production' })).toEqual([
      'TEST_BREAK_ORDER is for tests and breaks a promise: unset it in production',
    ]);
    expect(problemsOf({ TEST_BREAK_ORDER: 'all' })).toEqual([
      expect.stringMatching(/^TEST_BREAK_ORDER must be one of/),
    ]);
  });

  it('.env.example shows each with unit, default and bounds (update: npm test -- settings -u)', async () => {
    await expect(example()).toMatchFileSnapshot('../../../.env.example');
  });
});
