import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Settled, splitTexts } from '@bullpen/db';
import { createCaches, loadHandlers } from '@bullpen/handlers';
import { createLog } from '@bullpen/runtime';
import { eventually, texts } from '@bullpen/testkit';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import type { Held } from '../src/claims.ts';
import { createFigures } from '../src/figures.ts';
import { openGate } from '../src/limits/gate.ts';
import { createPlans } from '../src/plans.ts';
import { runChunk } from '../src/run-chunk.ts';
import { createSlots } from '../src/slots.ts';
import { runInThread } from '../src/threads/run-in-thread.ts';
import { createThreads, type Threads } from '../src/threads/threads.ts';
import { createTimeouts } from '../src/timeouts.ts';
import { createMarks } from '../src/watchdog/marks.ts';
import { heldOf } from './plan.ts';

const log = createLog({ name: 'test', level: 'silent', pretty: false });
const folder = 'libs/testkit/handlers';
const catalog = await loadHandlers([folder]);
const limits = { sliceMs: 60_000, outputMaxBytes: 10_000, sliceMaxBytes: 100_000_000 };
const worker = { name: 'test', logLevel: 'silent', pretty: false, concurrency: 100, leaseMs: 1000, log, ...limits };

let opened: Threads[] = [];
afterEach(async () => {
  await Promise.all(opened.map((threads) => threads.close()));
  opened = [];
});
function openThreads(more: object = {}): Threads {
  const file = pathToFileURL(join(process.env['BULLPEN_BUILD']!, 'threads.mjs'));
  const threads = createThreads({ ...worker, folders: [folder], file, ...more });
  opened.push(threads);
  return threads;
}
/** All that a run of a chunk needs, on the main loop or beside it. */
const deps = (threads: Threads, more: object = {}) => ({
  slots: createSlots(worker.concurrency),
  figures: createFigures(),
  timeouts: createTimeouts(),
  marks: createMarks(),
  mayStart: () => true,
  threads,
  ...limits,
  ...more,
});
const held = (size: number, more: Partial<Held> = {}): Held => heldOf({ size, ...more });

interface Batch {
  params?: unknown;
  options?: Record<string, unknown>;
  handlers?: typeof catalog;
  no?: number;
}
function openPlans(handler: string, { params = null, options, handlers = catalog, no = 1 }: Batch = {}) {
  const row = { no, id: `batch-${no}`, handler, params, options: { seed: 7, backoffMs: 0, ...options }, ageMs: 0 };
  const statements = { plan: () => Promise.resolve(row) };
  const own = { caches: createCaches(), timeouts: createTimeouts(), marks: createMarks(), figures: createFigures() };
  return createPlans({ statements, handlers, log, gateOf: () => openGate, ...own });
}
const planOf = async (handler: string, batch: Batch = {}) => (await openPlans(handler, batch).open(batch.no ?? 1, 1))!;
const misbehaving = (does: object, options: object = {}) =>
  planOf('misbehave-in-threads', { params: { does }, options: { maxAttempts: 2, ...options } });

async function openFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'threads-'));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}
/** A file that gets a line for each start of an item that misbehaves. */
async function openJournal() {
  const journal = join(await openFolder(), 'journal');
  const lines = async (): Promise<string[]> => (await readFile(journal, 'utf8').catch(() => '')).trim().split('\n');
  return { journal, lines };
}

/** Promises settle in any order. */
const inOrder = ({ failures, rests, ...rest }: Settled) => ({
  ...rest,
  failures: [...failures].sort((a, b) => a.index - b.index),
  rests: [...rests].sort((a, b) => a.first - b.first),
});

describe('a chunk in a thread', () => {
  const words = ['plain', 'é', '漢字', '😀', '"\\', ''];
  const items = Array.from({ length: 10_000 }, (_, n) => JSON.stringify({ n, text: words[n % words.length] }));
  const inputs = [0, 4000].map((first) => ({ first, items: `[${items.slice(first, first === 0 ? 4000 : 10_000).join()}]` })); // prettier-ignore

  it.each([
    ['whole', {}],
    ['a rest of it in its last attempt', { picks: Array.from({ length: 5000 }, (_, at) => 2 * at), size: 5000, attempt: 3 }],
  ])('comes to the same to the byte as on the main loop: %s', async (_, more) => {
    const chunk = held(10_000, { inputs, ...more });
    const batch = { params: { times: 3 } };
    const beside = deps(openThreads());
    const [here, there] = await Promise.all([
      runChunk(chunk, await planOf('varied', batch), 1, beside),
      runInThread(chunk, await planOf('varied-in-threads', batch), 1, beside),
    ]);
    expect(inOrder(there)).toEqual(inOrder(here));
    expect(here.failures.length).toBeGreaterThan(1000);
    expect(splitTexts(there.outputs).length).toBeGreaterThan(2000);
  }); // prettier-ignore

  it('starts its batch there, once, and not on the main loop', async () => {
    const threads = openThreads();
    const chunk = held(1, { inputs: [{ first: 0, items: '[{"n":1}]' }] });
    const plan = await planOf('varied-in-threads', { params: {} });
    for (const [first, started] of [[0, true], [8000, true]] as const) {
      const settled = await runInThread({ ...chunk, first, inputs: [{ first, items: '[{"n":1}]' }] }, plan, 1, deps(threads));
      expect(JSON.parse(settled.outputs)).toMatchObject({ last: started });
    }
    const here = await runChunk(chunk, plan, 1, deps(threads));
    expect(JSON.parse(here.outputs)).toMatchObject({ last: false });
  }); // prettier-ignore

  it('goes beside another one, each in a thread of its own, and all that time counts as work', async () => {
    const threads = openThreads();
    const shared = deps(threads);
    const { journal } = await openJournal();
    const plan = await planOf('misbehave-in-threads', { params: { does: { meet: [0, 1] }, journal } });
    const run = (first: number) => runInThread(held(1, { no: first, first }), plan, first, shared);
    const started = performance.now();
    const settled = await Promise.all([run(0), run(1)]);
    expect(settled.map(({ outputs }) => outputs)).toEqual(['"met"', '"met"']);
    expect(threads.size()).toBe(2);
    expect(shared.figures.workMs).toBeGreaterThan(200);
    expect(shared.figures.workMs).toBeLessThan(2 * (performance.now() - started));
  });

  it('waits where both are busy: the oldest goes next, and one that is gone goes back', async () => {
    const threads = openThreads();
    const { handler } = await misbehaving({});
    const places = await Promise.all([1, 2].map((order) => threads.take(handler, order, () => false)));
    const got: (number | null)[] = [];
    let gone = false;
    const waiting = [5, 3, 4].map(async (order) => {
      const place = await threads.take(handler, order, () => gone && order === 4);
      got.push(place === null ? null : order);
    });
    places[0]!.release();
    await eventually('one has it', () => got.length === 1);
    gone = true;
    threads.dismiss();
    await eventually('one is gone', () => got.length === 2);
    places[1]!.release();
    await Promise.all(waiting);
    expect(got).toEqual([3, null, 5]);
    expect(threads.size()).toBe(0);
  });

  it('ends its slice, and gives back what it did not start', async () => {
    const plan = await misbehaving({ spin: Array.from({ length: 50 }, (_, index) => index) });
    const { succeeded, rests } = await runInThread(held(50), plan, 1, deps(openThreads({ sliceMs: 900 })));
    expect(succeeded).toBeGreaterThan(1);
    expect(succeeded).toBeLessThan(10);
    expect(rests).toMatchObject([{ first: succeeded, size: 50 - succeeded, attempt: 1 }]);
  });

  it('stops between two items when nothing more may be started, and its waiting ones go back', async () => {
    const threads = openThreads();
    let may = true;
    const shared = deps(threads, { mayStart: () => may });
    const { journal, lines } = await openJournal();
    const params = { does: { spin: Array.from({ length: 100 }, (_, index) => index) }, journal };
    const plan = await planOf('misbehave-in-threads', { params });
    const running = [1, 2, 3].map((order) => runInThread(held(100), plan, order, shared));
    await eventually('two have come to their second item', async () => {
      const seen = await lines();
      return seen.filter((line) => line === 'spin 1 1').length === 2;
    });
    may = false;
    threads.dismiss();
    const [first, second, third] = await Promise.all(running);
    for (const settled of [first!, second!]) {
      expect(settled.succeeded).toBeGreaterThan(0);
      expect(settled.succeeded).toBeLessThan(10);
      expect(settled.rests).toMatchObject([{ first: settled.succeeded, attempt: 1 }]);
    }
    expect(third).toMatchObject({ succeeded: 0, rests: [{ first: 0, size: 100, attempt: 1 }] });
    expect((await runInThread(held(3), plan, 4, shared)).succeeded).toBe(0);
  });

  it('hears of it when its batch is cancelled, also while its items wait', async () => {
    const { journal, lines } = await openJournal();
    const params = { does: { untilAborted: [0, 1] }, journal };
    const plans = openPlans('misbehave-in-threads', { params, options: { maxAttempts: 1 } });
    const plan = (await plans.open(1, 1))!;
    const running = runInThread(held(2), plan, 1, deps(openThreads()));
    await eventually('both wait', async () => (await lines()).length === 2);
    plans.stop(1, 'cancelled');
    expect((await running).failures).toMatchObject([0, 1].map((index) => ({ index, error: { message: 'the batch was cancelled' } })));
  }); // prettier-ignore

  it('leaves its thread for a while, then that ends, and a new one comes', async () => {
    const threads = openThreads({ keepMs: 50 });
    const plan = await misbehaving({});
    expect((await runInThread(held(3), plan, 1, deps(threads))).outputs).toBe(
      texts([{ index: 0 }, { index: 1 }, { index: 2 }]),
    );
    await eventually('it has ended', () => threads.size() === 0);
    expect(await runInThread(held(3), plan, 1, deps(threads))).toMatchObject({ succeeded: 3 });
  });

  it('knows its batch among many others', async () => {
    const threads = openThreads();
    for (let no = 1; no <= 205; no += 1) {
      const plan = await planOf('varied-in-threads', { no, params: { times: no } });
      const chunk = held(1, { batch: no, inputs: [{ first: 0, items: '[{"n":1}]' }] });
      for (let time = 0; time < 2; time += 1)
        expect(JSON.parse((await runInThread(chunk, plan, 1, deps(threads))).outputs)).toMatchObject({ n: no });
    }
  });
});

describe('a thread that is lost', () => {
  /** [index, attempt] of all that goes back. */
  const back = ({ rests }: { rests: readonly { first: number; size: number; picks: readonly number[] | null; attempt: number }[] }) =>
    rests.map(({ first, size, picks, attempt }) => [picks ?? (size === 1 ? first : [first, size]), attempt]); // prettier-ignore

  it('by an item that does not end: it has used an attempt, and the next chunk has a new thread', async () => {
    const shared = deps(openThreads());
    const plan = await misbehaving({ loop: [2] }, { timeoutMs: 200 });
    expect(back(await runInThread(held(5), plan, 1, shared))).toEqual([[[0, 1, 3, 4], 1], [2, 2]]); // prettier-ignore
    expect(await runInThread(held(5, { attempt: 2 }), plan, 1, shared)).toMatchObject({
      failures: [{ index: 2, error: { code: 'timeout', message: 'took longer than timeoutMs allows (200 ms)' } }],
    });
    expect(shared.figures.workMs).toBeGreaterThan(2000);
    expect(await runInThread(held(2), plan, 1, shared)).toMatchObject({ succeeded: 2 });
  });

  it.each([
    ['ends its process', 'exit', 'the handler ended its thread'],
    ['fills the memory', 'memory', 'the handler ended its thread: Worker terminated due to reaching memory limit: JS heap out of memory'],
  ])('by an item that %s', async (_, kind, message) => {
    const shared = deps(openThreads());
    const plan = await misbehaving({ [kind]: [2] });
    expect(await runInThread(held(5, { attempt: 2 }), plan, 1, shared)).toMatchObject({
      failures: [{ index: 2, error: { code: 'worker-lost', message } }],
      rests: [{ picks: [0, 1, 3, 4], attempt: 2 }],
    });
  }); // prettier-ignore

  it('by a call for all items: each is tried alone', async () => {
    const params = { loop: [2] };
    const plan = await planOf('misbehave-together-in-threads', { params, options: { maxAttempts: 2, timeoutMs: 200 } });
    expect(back(await runInThread(held(3), plan, 1, deps(openThreads())))).toEqual([[0, 2], [1, 2], [2, 2]]); // prettier-ignore
  });

  it('by start: all have used an attempt', async () => {
    const plan = await planOf('misbehave-in-threads', { params: { start: 'loop' }, options: { timeoutMs: 200 } });
    expect(back(await runInThread(held(3), plan, 1, deps(openThreads())))).toEqual([[[0, 3], 2]]);
  });

  it.each([
    ['an exit', 'exitLater', 'ended its thread'],
    ['a loop', 'loopLater', 'kept its thread busy outside of any call'],
  ])('outside of any call, by %s: each of several goes back alone and unblamed; one that was alone was it', async (_, kind, message) => {
    const shared = deps(openThreads());
    const plan = await misbehaving({ [kind]: [1], never: [0, 2] }, { maxAttempts: 1, timeoutMs: 60_000 });
    expect(back(await runInThread(held(3), plan, 1, shared))).toEqual([[0, 1], [1, 1], [2, 1]]); // prettier-ignore
    expect((await runInThread(held(1, { first: 1 }), plan, 1, shared)).failures).toEqual([
      { index: 1, error: { code: 'worker-lost', message: `the handler ${message}` } },
    ]);
  }); // prettier-ignore

  it('by what an earlier chunk left there: the chunk runs again in a new one', async () => {
    const shared = deps(openThreads());
    const plan = await misbehaving({ rejectLater: [5], waits: [0] }, { maxAttempts: 1 });
    expect(await runInThread(held(1, { first: 5 }), plan, 1, shared)).toMatchObject({ outputs: '"answered"' });
    expect(await runInThread(held(1), plan, 1, shared)).toMatchObject({ outputs: '"waited"', failures: [] });
  });

  it('before it was there: the items fail and say why', async () => {
    const own = await openFolder();
    const text = `import { isMainThread } from 'node:worker_threads';
      if (!isMainThread) throw new Error('not here');
      export default { name: 'broken', description: '', threads: 1, run: () => 1 };`;
    await writeFile(join(own, 'broken.mjs'), text);
    const plan = await planOf('broken', { handlers: await loadHandlers([own]), options: { maxAttempts: 1 } });
    const { failures } = await runInThread(held(2), plan, 1, deps(openThreads({ folders: [own] })));
    expect(failures).toMatchObject([{ index: 0, error: { code: 'not-started' } }, { index: 1 }]);
    expect(failures[0]!.error.message).toMatch(/^the thread of the handler does not start: .*broken\.mjs cannot be loaded: not here/); // prettier-ignore
  });
});
