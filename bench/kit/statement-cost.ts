import { randomUUID } from 'node:crypto';
import { joinTexts, type Marked } from '@bullpen/db';
import { outputOf } from '../peers/item.mjs';
import type { BareDatabase } from './bare-database.ts';
import { median } from './stats.ts';
import { chunkSize, newBatch } from './worlds.ts';

const warmUps = 10;
/** Chunks of one mark, of one claim and of one flush. */
const chunksAtOnce = 20;
/** Name of the batches that are only accepted. */
const accepted = 'accepted';
const outputs = joinTexts(Array.from({ length: chunkSize }, (_, index) => JSON.stringify(outputOf(index, 0))));
const facts = {
  chunksInFlight: 4,
  chunksMax: 8,
  itemsDone: 0,
  itemsPerSecond: 0,
  chunksPerSecond: 0,
  turnaroundMs: 10,
  roundTripMs: { redis: 0.2, postgres: 0.2 },
};

/** Gets ready and answers what is to be measured. */
type Call = () => Promise<() => Promise<unknown>>;
type World = BareDatabase & Awaited<ReturnType<typeof settle>>;

/** The core statements in the world as it is, each with the work of a usual call: median ms by statement. */
export async function statementCosts(database: BareDatabase, calls: number): Promise<Record<string, number>> {
  const world = { ...database, ...(await settle(database, calls)) };
  const costs: Record<string, number> = {};
  // What accepts comes last: its batches would be marked by the others.
  for (const [name, call] of Object.entries({ ...pathOf(world), ...readsOf(world), ...acceptsOf(world) }))
    costs[name] = await cost(calls, call);
  await world.sql`update batches set state = 'cancelled' where name = ${accepted}`;
  return costs;
}

/** The first calls do not count. */
async function cost(calls: number, call: Call): Promise<number> {
  const times: number[] = [];
  for (let at = 0; at < warmUps + calls; at += 1) {
    const measured = await call();
    const started = performance.now();
    await measured();
    if (at >= warmUps) times.push(performance.now() - started);
  }
  return median(times);
}

/** The path of a chunk. */
function pathOf({ statements, ofWorker, worker }: World): Record<string, Call> {
  const slots = Array.from({ length: chunksAtOnce }, (_, at) => at % 12);
  const mark = () => statements.mark({ handlers: ['echo'], slots, itemsMax: 100_000 });
  const claim = (marked: readonly Marked[], claim: string) => {
    const batches = [...new Set(marked.map(({ batch }) => batch.no))];
    return ofWorker.claim({ nos: marked.map(({ no }) => no), claim, worker, handlers: ['echo'], batches });
  };
  return {
    'mark, 20 chunks': async () => mark,
    'claim, 20 chunks': async () => {
      const marked = await mark();
      return () => claim(marked, randomUUID());
    },
    'flush, 20 chunks with 4 000 results': async () => {
      const mine = randomUUID();
      const settled = (await claim(await mark(), mine)).map(({ no, first }) => ({
        no,
        claim: mine,
        first,
        ...flushed,
      }));
      return () => ofWorker.flush(settled);
    },
    'lost, 20 chunks': async () => {
      const jobs = await mark();
      return () => statements.lost(jobs);
    },
  };
}

/** What runs each second or each round whether there is work or not, and what clients ask for. */
function readsOf({ statements, ofWorker, worker, claim, batch, id, kept }: World): Record<string, Call> {
  const beat = { worker, claims: [claim], batches: [batch], facts, orphanMs: 3_600_000 };
  const awaited = Array.from({ length: 10 }, (_, index) => ({ batch: id, index, closely: true }));
  const page = { batch: kept, status: 'all', after: 4999, limit: 1000, maxBytes: 4 * 2 ** 20 } as const;
  return {
    windows: async () => () => statements.windows({ leaseMs: 600_000 }),
    due: async () => () => statements.due(),
    heartbeat: async () => () => ofWorker.heartbeat(beat),
    repair: async () => () => statements.repair({ leaseMs: 600_000 }),
    queued: async () => () => statements.queued({ ageMs: 2000 }),
    unfolded: async () => () => statements.unfolded({ handlers: ['echo'], batch: null }),
    'counts of a batch': async () => () => statements.counts(id),
    'results, a page of 1 000': async () => () => statements.results(page),
    'result of an item': async () => () => statements.outcome({ batch: kept, index: 4999 }),
    'settled, 10 items': async () => () => statements.settled(awaited),
    'failures of a batch': async () => () => statements.failures({ batch: kept, limit: 100 }),
    'summary of a batch': async () => () => statements.reduced(id),
    'ended, 1 batch': async () => () => statements.ended([id]),
    workers: async () => () => statements.workers({ leaseMs: 600_000 }),
    partitions: async () => () => statements.partitions({ leaseMs: 600_000 }),
    expire: async () => () => statements.expire(1),
    forget: async () => () => statements.forget(),
    leftovers: async () => () => statements.leftovers(),
    'clean uploads': async () => () => statements.cleanUploads({ leaseMs: 600_000 }),
    'free ranges': async () => () => statements.freeRanges(),
    'list, 50 batches': async () => () => statements.batches({ owner: '', kind: 'batch', limit: 50 }),
  };
}

const acceptsOf = ({ statements }: World): Record<string, Call> => ({
  'accept, 100 chunks by count': async () => () => statements.acceptCount(newBatch(100, accepted), chunkSize),
  'append, 1 item': async () => {
    const jobs = [{ input: '{"a":1}' }];
    const batch = await statements.rollJobs({ owner: '', handler: 'echo', id: randomUUID(), options: '{}' });
    return () => statements.appendJobs({ owner: '', batch, group: randomUUID(), jobs });
  },
  'accept, 20 chunks of inputs': async () => () => statements.acceptInputs(newBatch(20, accepted), inputs),
});

const inputs = Array.from({ length: chunksAtOnce }, (_, at) => ({
  first: at * chunkSize,
  size: chunkSize,
  items: JSON.stringify(Array.from({ length: chunkSize }, (_, index) => ({ a: index, b: at }))),
}));

const flushed = { succeeded: chunkSize, outputs, indexes: null, failures: [], rests: [] };

/** A worker, a batch that runs with some chunks in its hands and enough for all calls, and a paused one with 10 000 results. */
async function settle({ sql, statements }: BareDatabase, calls: number) {
  const [worker, claim] = [randomUUID(), randomUUID()];
  const known = { name: 'bench', host: 'bench', pid: 1, handlers: ['echo'], concurrency: 1, facts };
  await statements.register({ id: worker, ...known });
  const kept = await statements.acceptCount(newBatch(50), chunkSize);
  await sql`update batches set state = 'paused' where no = ${kept}`;
  await sql`
    insert into results (batch, index, finished_at, status, attempt, output)
    select ${kept}, i, now(), 1, 1, '{"score":1,"turns":1,"winner":"team1"}' from generate_series(0, ${50 * chunkSize - 1}::int) i`;
  const own = newBatch(5 * chunksAtOnce * (calls + warmUps));
  const batch = await statements.acceptCount(own, chunkSize);
  await sql`
    update chunks set state = 'running', claim = ${claim}, worker = ${worker}, claimed_at = now(), partition = 0
    where no in (select no from chunks where batch = ${batch} order by first desc limit 16)`;
  await sql`analyze`;
  return { worker, claim, id: own.id, batch, kept };
}
