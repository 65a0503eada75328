import { readFile } from 'node:fs/promises';
import { type AppProcess, eventually, freePort, type House, startHouse } from '@bullpen/testkit';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { parse } from 'yaml';
import { readExposition, type Sample } from './support/exposition.ts';

const leaseMs = 1500;
/** What comes from elsewhere, and from where. */
const ofExporters = new Map([['node_cpu_seconds_total', 'node_exporter']]);

interface Place {
  url: string;
  process: AppProcess;
}

let house: House;
let workers: Place[];
const places = (): Place[] => [{ url: house.url(), process: house.producer }, ...workers];

async function addWorker(more: Record<string, string> = {}): Promise<Place> {
  const port = await freePort();
  const process = await house.addWorker({ WORKER_PORT: port, ...more });
  return { url: `http://127.0.0.1:${port}`, process };
}

async function scrape(url: string): Promise<ReturnType<typeof readExposition>> {
  const response = await fetch(`${url}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return readExposition(await response.text());
}

/** Of all processes, or of one. */
async function samplesOf(urls = places().map(({ url }) => url)): Promise<Sample[]> {
  return (await Promise.all(urls.map(scrape))).flatMap(({ samples }) => samples);
}

function sumOf(samples: readonly Sample[], name: string, labels: Record<string, string> = {}): number {
  const wanted = Object.entries(labels);
  const found = samples.filter(
    (each) => each.name === name && wanted.every(([label, value]) => each.labels[label] === value),
  );
  expect(found, `${name} ${JSON.stringify(labels)}`).not.toEqual([]);
  return found.reduce((sum, { value }) => sum + value, 0);
}

/** Batches, which are not counted at each scrape. */
const completed = async (): Promise<number> => sumOf(await samplesOf(), 'bullpen_batches', { state: 'completed' });

beforeAll(async () => {
  house = await startHouse({
    workers: 0,
    partitions: 4,
    supervised: true,
    env: { LEASE_MS: String(leaseMs), HANDLERS: 'libs/handlers/src,libs/testkit/handlers', METRICS_WINDOW_MS: '200' },
  });
  workers = [await addWorker(), await addWorker()];
});
afterAll(() => house.stop());

test('both kinds of process answer a text that parses, with histograms that add up', async () => {
  for (const { url } of places()) {
    const { types, samples } = await scrape(url);
    for (const [name, type] of types) {
      expect(name).toMatch(/^(bullpen|process)_/);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(name).not.toMatch(/_(ms|milliseconds|mb|percent)(_|$)/);
    }
    const buckets = samples.filter(({ name }) => name.endsWith('_bucket'));
    expect(buckets.map(({ labels }) => labels['le'])).toEqual(expect.arrayContaining(['0.0005', '0.05', '30', '+Inf']));
    for (const { name, labels: { le, ...labels }, value } of buckets) {
      const upper = buckets.filter((each) => each.name === name && each.labels['phase'] === labels['phase']);
      for (const other of upper) if (Number(other.labels['le']) > Number(le)) expect(other.value).toBeGreaterThanOrEqual(value);
    }
  }
}); // prettier-ignore

test('counters agree with the counts of the batches, whatever becomes of the items', async () => {
  const bodies = [
    { handler: 'echo', count: 30_000 },
    {
      handler: 'varied',
      inputs: Array.from({ length: 200 }, (_, n) => ({ n })),
      params: {},
      options: { backoffMs: 10 },
    },
    { handler: 'fail', count: 50, params: { untilAttempt: 2 }, options: { backoffMs: 10 } },
    { handler: 'fail', count: 40, params: { rate: 1 }, options: { maxAttempts: 1 } },
    {
      handler: 'varied',
      inputs: Array.from({ length: 60 }, (_, n) => ({ n, text: `g${n % 7}` })),
      params: {},
      options: { groupBy: 'text', backoffMs: 10 },
    },
  ];
  const ids = await Promise.all(bodies.map((body) => house.submit(body)));
  const ended = await Promise.all(ids.map((id) => house.ended(id)));
  const skipping = await house.request<{ id: string }>('/v1/batches?handler=varied&onInvalid=skip', {
    method: 'POST',
    headers: {
      'content-type': 'application/x-ndjson',
      'bullpen-options': Buffer.from('{"params":{}}').toString('base64url'),
    },
    body: '{"n":0}\n{"n":"none"}\n{"n":3}\n',
  });
  ended.push(await house.ended(skipping.body.id));
  const counts = (which: 'succeeded' | 'failed'): number => ended.reduce((sum, batch) => sum + batch.counts[which], 0);

  const samples = await samplesOf();
  expect(sumOf(samples, 'bullpen_items_total', { outcome: 'succeeded' })).toBe(counts('succeeded'));
  expect(sumOf(samples, 'bullpen_items_total', { outcome: 'failed' })).toBe(counts('failed'));
  expect(sumOf(samples, 'bullpen_items_accepted_total')).toBe(ended.reduce((sum, { counts }) => sum + counts.total, 0));
  // `fail` each once; `varied` of ten one once and one twice, in lines too.
  expect(sumOf(samples, 'bullpen_item_retries_total')).toBe(50 + 3 * 20 + 3 * 6 + 1);
  const flushed = sumOf(samples, 'bullpen_chunks_flushed_total');
  expect(flushed).toBeGreaterThan(30);
  expect(sumOf(samples, 'bullpen_chunks_claimed_total')).toBeGreaterThanOrEqual(flushed);
  expect(sumOf(samples, 'bullpen_chunks_fenced_total')).toBe(0);
  // Statements and chunks, not items.
  for (const phase of ['accept', 'mark', 'publish', 'claim', 'run', 'flush']) {
    const count = sumOf(samples, 'bullpen_phase_duration_seconds_count', { phase });
    expect(count, phase).toBeGreaterThan(0);
    expect(count, phase).toBeLessThan(1000);
    expect(sumOf(samples, 'bullpen_phase_duration_seconds_bucket', { phase, le: '+Inf' })).toBe(count);
  }
  expect(sumOf(samples, 'bullpen_publish_to_flush_seconds_count')).toBeGreaterThan(30);
  expect(sumOf(samples, 'bullpen_backlog_items')).toBe(0);
  expect(sumOf(samples, 'bullpen_leases')).toBe(4);
  await eventually('all batches are counted', async () => (await completed()) === ended.length);
});

test('every metric of an alert is answered by some process, or comes from an exporter that the rules name', async () => {
  const text = await readFile('deploy/prometheus/alerts.yml', 'utf8');
  const { groups } = parse(text) as { groups: { rules: { alert: string; expr: string }[] }[] };
  const rules = groups.flatMap((group) => group.rules);
  const known = new Set((await samplesOf()).map(({ name }) => name));
  const asked = rules.map(({ expr }) => [...expr.matchAll(/\b(?:bullpen|process|node|pg|redis)_\w+/g)].map(([name]) => name));
  expect(rules).toHaveLength(8);
  for (const [at, names] of asked.entries()) {
    expect(names, rules[at]!.alert).not.toEqual([]);
    for (const name of names.filter((each) => !known.has(each))) expect(text).toContain(ofExporters.get(name) ?? `${name} is nowhere`);
  }
  const docs = await readFile('docs/operations.md', 'utf8');
  const named = [...rules.map(({ alert }) => alert), ...[...known].map((name) => name.replace(/_(bucket|sum|count)$/, ''))];
  expect(named.filter((name) => !docs.includes(`\`${name}\``))).toEqual([]);
}); // prettier-ignore

/** Each series by its name and labels. */
const seriesOf = async (): Promise<string[]> =>
  (await samplesOf()).map(({ name, labels }) => `${name}${JSON.stringify(labels)}`).sort();

test('10 000 batches with strange names have no series of their own', async () => {
  const before = await seriesOf();
  const { statements } = house.database;
  const names = ['a"b', '\n# TYPE x counter\nx 1', '{le="1"} 3', '\u0000\ud83d', 'é漢😀', '__proto__', '\\', ''];
  const batches = Array.from({ length: 9900 }, (_, n) => `${names[n % names.length]}${n}`.replaceAll('\u0000', ''));
  const lanes = Array.from({ length: 8 }, async () => {
    for (let name = batches.pop(); name !== undefined; name = batches.pop())
      await statements.acceptCount(
        { id: crypto.randomUUID(), name, handler: 'echo', total: 1, params: null, options: '{}' },
        1,
      );
  });
  await Promise.all(lanes);
  const ids = await Promise.all(
    Array.from({ length: 100 }, (_, n) => house.submit({ handler: 'echo', count: 1, name: `${names[n % 3]}${n}` })),
  );
  for (const id of ids) await house.ended(id);
  const isDone = async (): Promise<boolean> => sumOf(await samplesOf(), 'bullpen_backlog_items') === 0;
  await eventually('all are done', isDone, 60_000);
  await eventually('they are counted', async () => (await completed()) >= 10_000, 60_000);
  expect(await seriesOf()).toEqual(before);
}, 240_000); // prettier-ignore

describe('of the cluster', () => {
  it('tells how long a partition has no owner, until it has one', async () => {
    const unowned = async (): Promise<number[]> =>
      (await samplesOf([house.url()]))
        .filter(({ name }) => name === 'bullpen_partition_unowned_seconds')
        .map(({ value }) => value);
    const isOwned = async (): Promise<boolean> => (await unowned()).every((seconds) => seconds === 0);
    await eventually('each has one', isOwned);
    for (const { process } of workers) await process.end('SIGKILL');
    workers = [];
    const bound = 2 * sumOf(await samplesOf(), 'bullpen_lease_seconds');
    expect(bound).toBe((2 * leaseMs) / 1000);
    await eventually('it is more than two leases', async () => (await unowned()).every((seconds) => seconds > bound));
    expect(sumOf(await samplesOf(), 'bullpen_partitions_unowned')).toBe(4);
    workers = [await addWorker()];
    await eventually('each has one again', isOwned);
  });

  it('answers without the database, and says so', async () => {
    await house.database.db.execute('alter table batches rename to away');
    const { samples } = await scrape(house.url());
    expect(sumOf(samples, 'bullpen_database_up')).toBe(0);
    expect(samples.map(({ name }) => name)).not.toContain('bullpen_backlog_items');
    await house.database.db.execute('alter table away rename to batches');
    await eventually('it is up again', async () => sumOf(await samplesOf([house.url()]), 'bullpen_database_up') === 1);
  });
});

test('an item that kills its workers is counted by who settles it, and its chunk by who repairs it', async () => {
  const failedBefore = sumOf(await samplesOf([house.url()]), 'bullpen_items_total', { outcome: 'failed' });
  const repairedBefore = sumOf(await samplesOf([house.url()]), 'bullpen_chunks_repaired_total', { cause: 'worker' });
  const body = { handler: 'misbehave', count: 3, params: { does: { poison: [1] } }, options: { chunkSize: 3 } };
  const { counts } = await house.ended(await house.submit(body));
  expect(counts).toMatchObject({ succeeded: 2, failed: 1 });
  // Who has died with the chunk counts anew since; then each of its items ran in a process for suspects, which tells its worker.
  const isTold = async (): Promise<boolean> => {
    const samples = await samplesOf();
    const [succeeded, failed] = ['succeeded', 'failed'].map((outcome) =>
      sumOf(samples, 'bullpen_items_total', { outcome }),
    );
    return succeeded === 2 && failed === failedBefore + 1;
  };
  // One that still starts does not answer.
  await eventually('the workers tell of what these did', () => isTold().catch(() => false));
  const repaired = sumOf(await samplesOf([house.url()]), 'bullpen_chunks_repaired_total', { cause: 'worker' });
  expect(repaired).toBeGreaterThan(repairedBefore);
});
