import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkLedger, eventually, freePort, type House, startHouse } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import { afterEach, describe, expect, it } from 'vitest';

let house: House;
afterEach(() => house.stop());

/** Single items, each by a curl of its own; by hand more: `SINGLE_POSTS=10000 npm test -- test/single-items`. */
const posts = Number(process.env['SINGLE_POSTS'] ?? 300);
const run = promisify(execFile);
const patience = 60_000 + posts * 50;

function hasTools(): boolean {
  try {
    for (const tool of ['curl', 'xargs']) execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const loop = String.raw`seq "$N" | xargs -P 50 -I@ curl -s MORE -o "$FOLDER/@" -w '@ %{http_code}\n' \
  -H 'content-type: application/json' -d '{"a": @, "b": 1}' "$URL"`;

/** Answers what each was told, by its number. */
async function postAll(more: string): Promise<Map<number, { status: number; batchId: string; index: number }>> {
  const folder = await mkdtemp(join(tmpdir(), 'bullpen-posts-'));
  const env = { ...process.env, N: String(posts), FOLDER: folder, URL: `${house.url()}/v1/jobs/add` };
  const { stdout } = await run('sh', ['-c', `${loop.replace('MORE', more)} || true`], { env, maxBuffer: 1e8 });
  const told = new Map<number, { status: number; batchId: string; index: number }>();
  for (const line of stdout.trim().split('\n')) {
    const [number = '', status = ''] = line.split(' ');
    const answer = status === '202' ? (JSON.parse(await readFile(join(folder, number), 'utf8')) as object) : {};
    told.set(Number(number), { status: Number(status), batchId: '', index: -1, ...answer });
  }
  await rm(folder, { recursive: true });
  return told;
}

/** Each item that was answered 202 has its own sum, at the index that was told. */
async function checkSums(told: Awaited<ReturnType<typeof postAll>>): Promise<void> {
  await eventually(
    'all are done',
    async () => {
      const [open] = await house.database.db.execute(sql`select sum(total - succeeded)::int as open from batches`);
      return (open as { open: number }).open === 0;
    },
    patience,
  );
  const rows = await house.database.db.execute(
    sql`select b.id, r.index, r.output->>'sum' as sum from results r join batches b on b.no = r.batch`,
  );
  const sums = new Map(
    rows
      .map((row) => row as { id: string; index: number; sum: string })
      .map(({ id, index, sum }) => [`${id} ${index}`, Number(sum)]),
  );
  for (const [a, { status, batchId, index }] of told)
    if (status === 202) expect(sums.get(`${batchId} ${index}`)).toBe(a + 1);
  expect(await checkLedger(house.database)).toEqual([]);
}

const stored = async (): Promise<number> => {
  const [row] = await house.database.db.execute(sql`select coalesce(sum(total), 0)::int as n from batches`);
  return (row as { n: number }).n;
};

describe.runIf(hasTools())(`${posts} single items from a shell loop`, () => {
  it(
    'all end with the right sum',
    async () => {
      house = await startHouse({ workers: 1 });
      const told = await postAll('');
      expect([...told.values()].filter(({ status }) => status === 202)).toHaveLength(posts);
      expect(await stored()).toBe(posts);
      await checkSums(told);
    },
    patience,
  );

  it(
    'lose none that was answered when the producer is killed, and under keys all of them end once',
    async () => {
      house = await startHouse({ workers: 1, env: { PORT: await freePort() } });
      const posting = postAll('--retry 30 --retry-all-errors --retry-delay 1 -H "Idempotency-Key: key-@"');
      await eventually('some are stored', async () => (await stored()) > posts / 5, patience);
      await house.producer.end('SIGKILL');
      await sleep(500);
      await house.producer.restart();
      const told = await posting;
      expect([...told.values()].filter(({ status }) => status === 202)).toHaveLength(posts);
      expect(await stored()).toBe(posts);
      await checkSums(told);
    },
    patience,
  );
});
