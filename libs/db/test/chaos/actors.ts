import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Claimed, Settled, Statements } from '@bullpen/db';
import { idleFacts, texts } from '@bullpen/testkit';
import type { Dice } from '@bullpen/testkit';

/** What the actors share: the statements, the "BullMQ" of this test (it loses, doubles and reorders), and what they saw. */
export interface World {
  statements: Statements;
  dice: Dice;
  jobs: { no: number; generation: number }[];
  batches: { no: number; id: string }[];
  seen: Record<
    'marked' | 'claims' | 'flushes' | 'fenced' | 'kills' | 'lostReplies' | 'orphans' | 'controls' | 'settledTwice',
    number
  >;
  stopped: boolean;
}

const leaseMs = 400;
const orphanMs = 250;

/** Marks, and delivers badly: 5 % of the jobs are lost, 5 % come twice, all out of order. Repairs now and then. */
export async function publish(world: World): Promise<void> {
  const { statements, dice, jobs, seen } = world;
  while (!world.stopped) {
    await statements.due();
    const slots = Array.from({ length: 24 }, (_, i) => i % 12);
    for (const job of await statements.mark({ handlers: ['echo'], slots, itemsMax: 100_000 })) {
      seen.marked += 1;
      const luck = dice.roll();
      if (luck < 0.05) continue;
      jobs.splice(dice.below(jobs.length + 1), 0, job);
      if (luck > 0.95) jobs.push(job);
    }
    if (dice.chance(0.1)) await statements.repair({ leaseMs });
    if (dice.chance(0.1)) await findLost(world);
    await sleep(3);
  }
}

async function findLost({ statements, jobs }: World): Promise<void> {
  const queued = await statements.queued({ ageMs: 150 });
  const have = new Set(jobs.map((job) => `${job.no}-${job.generation}`));
  await statements.lost(queued.filter((job) => !have.has(`${job.no}-${job.generation}`)));
}

/** Works one life after the other: claims, freezes, loses replies, is killed, flushes late. The first one never dies. */
export async function work(world: World, immortal: boolean): Promise<void> {
  while (!world.stopped) {
    const id = randomUUID();
    const life = { id, dead: false, frozen: false, live: new Set<string>() };
    await world.statements.register({
      id,
      name: id,
      host: 'test',
      pid: 1,
      handlers: ['echo'],
      concurrency: 1,
      facts: idleFacts,
    });
    const beats = beat(world, life);
    await live(world, life, immortal ? Infinity : performance.now() + 500 + world.dice.roll() * 4000);
    life.dead = true;
    await beats;
  }
}

interface Life {
  id: string;
  dead: boolean;
  frozen: boolean;
  live: Set<string>;
}

async function beat({ statements, seen, ...world }: World, life: Life): Promise<void> {
  while (!life.dead && !world.stopped) {
    if (!life.frozen) {
      const { orphans } = await statements.heartbeat({
        worker: life.id,
        claims: [...life.live],
        batches: [],
        facts: idleFacts,
        orphanMs,
      });
      seen.orphans += orphans.length;
    }
    await sleep(100);
  }
}

async function live(world: World, life: Life, untilMs: number): Promise<void> {
  const { statements, dice, jobs, seen } = world;
  const mayDie = untilMs !== Infinity && dice.chance(0.3);
  while (performance.now() < untilMs && !world.stopped) {
    const nos = jobs.splice(0, 1 + dice.below(4)).map((job) => job.no);
    if (nos.length === 0) {
      await sleep(2);
      continue;
    }
    const claim = randomUUID();
    life.live.add(claim);
    const request = { nos: [...new Set(nos)], claim, worker: life.id, handlers: ['echo'] };
    let rows = await statements.claim(request);
    seen.claims += 1;
    if (dice.chance(0.1)) rows = await statements.claim(request);
    else if (dice.chance(0.02)) {
      // The reply is lost for good: only the orphan rule can free these chunks.
      seen.lostReplies += 1;
      life.live.delete(claim);
      continue;
    }
    await dice.wait(dice.chance(0.08) ? 900 : 15);
    if (untilMs !== Infinity && dice.chance(0.03)) await freeze(life, dice);
    if (mayDie && dice.chance(0.1)) {
      seen.kills += 1;
      return;
    }
    await settle(
      world,
      rows.map((row) => outcomeOf(row, claim, dice)),
    );
    life.live.delete(claim);
  }
}

/** A zombie: no heartbeat for longer than the lease, then on as if nothing had been. */
async function freeze(life: Life, dice: Dice): Promise<void> {
  life.frozen = true;
  await sleep(700 + dice.roll() * 700);
  life.frozen = false;
}

async function settle({ statements, dice, seen }: World, settled: Settled[]): Promise<void> {
  if (settled.length === 0) return;
  const answered = await statements.flush(settled);
  seen.flushes += 1;
  seen.fenced += settled.length - answered.length;
  // The reply was lost: the same statement again must settle nothing.
  if (dice.chance(0.1)) seen.settledTwice += (await statements.flush(settled)).length;
}

/** Some items fail for good, some are tried again, and now and then a slice ends in the middle. */
function outcomeOf(row: Claimed, claim: string, dice: Dice): Settled {
  const indexes = row.picks ?? Array.from({ length: row.size }, (_, i) => row.first + i);
  const cut = dice.chance(0.1) ? dice.below(indexes.length) : indexes.length;
  const kept: number[] = [];
  const failures: { index: number; error: { code: string; message: string } }[] = [];
  const again: number[] = [];
  for (const index of indexes.slice(0, cut)) {
    const hash = (Math.imul(index, 2_654_435_761) + row.attempt * 97) >>> 0;
    if (hash % 10 !== 0 && index % 37 !== 0) kept.push(index);
    else if (row.attempt < 3) again.push(index);
    else failures.push({ index, error: { code: 'error', message: 'no' } });
  }
  const rests = [
    { picks: again, attempt: row.attempt + 1, delayMs: dice.below(50) },
    { picks: indexes.slice(cut), attempt: row.attempt, delayMs: 0 },
  ].filter((rest) => rest.picks.length > 0);
  return {
    no: row.no,
    claim,
    first: row.first,
    succeeded: kept.length,
    outputs: texts(kept.map((v) => ({ v }))),
    indexes: kept,
    failures,
    rests: rests.map((rest) => ({ ...rest, first: rest.picks[0]!, size: rest.picks.length })),
  };
}

/** Submits, and pauses, resumes, cancels and retries at random. */
export async function control(world: World, untilMs: number): Promise<void> {
  const { statements, dice, batches, seen } = world;
  while (performance.now() < untilMs) {
    if (batches.length < 90) {
      const id = randomUUID();
      const total = 1 + dice.below(1500);
      const no = await statements.acceptCount(
        { id, name: null, handler: 'echo', total, params: null, options: '{}' },
        100,
      );
      batches.push({ no, id });
    }
    const { no } = batches[dice.below(batches.length)]!;
    const luck = dice.roll();
    if (luck < 0.15) {
      if (await statements.pause(no)) setTimeout(() => void statements.resume(no), dice.roll() * 500);
    } else if (luck < 0.2) await statements.cancel(no);
    else if (luck < 0.3) await statements.retry(no);
    if (luck < 0.3) seen.controls += 1;
    await sleep(15);
  }
}
