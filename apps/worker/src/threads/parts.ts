import { setTimeout as sleep } from 'node:timers/promises';
import { type Inputs, joinTexts, type Settled, splitTexts } from '@bullpen/db';
import type { Held } from '../claims.ts';
import { createPatience, type PatienceDeps } from '../limits/patience.ts';
import { untouched } from '../outcomes.ts';
import type { Plan } from '../plans.ts';
import { indexAt } from '../rests.ts';
import { settle } from '../settle.ts';
import { createTurn } from '../turn.ts';
import type { Place } from './threads.ts';

/** Items that may start within this time after the first go to a thread with it. */
const gatherMs = 10;

/**
 * A chunk whose batch something limits, in parts of as many items as may start: what waits for a limit keeps no thread from others. They
 * start when a thread is there for them, since it takes longer to load its handler than a start may be late. `run` runs a part as a
 * chunk of its own, and gives the thread back.
 */
export async function runInParts(
  held: Held,
  plan: Plan,
  { order, gone, stepAside, sliceMs }: Omit<PatienceDeps, 'turn'>,
  take: () => Promise<Place | null>,
  run: (part: Held, place: Place) => Promise<Settled>,
): Promise<Settled> {
  const size = held.picks?.length ?? held.size;
  const turn = createTurn(sliceMs);
  const ticket = plan.gate.enter(size);
  const patience = createPatience(ticket, { turn, order, gone, stepAside, sliceMs });
  const isOver = (at: number): boolean =>
    gone() || (at === 0 ? patience.isOut() : turn.sliceIsOver() && ticket.mayGo());
  const cut = createCut(held);
  const parts: Settled[] = [];
  let at = 0;
  while (at < size && !isOver(at)) {
    const place = await take();
    if (place === null) break;
    await place.ready();
    let upto = at;
    for (; upto < size && ticket.tryTake(); upto += 1) plan.gate.use(1);
    if (upto === at) {
      place.release();
      await patience.wait(at > 0);
      await sleep(gatherMs);
      continue;
    }
    if (at === 0) turn.startSlice();
    parts.push(await run(cut(at, upto), place));
    plan.gate.use(at - upto);
    at = upto;
  }
  ticket.leave();
  if (at < size) {
    const rest = cut(at, size, held.inputs);
    parts.push(settle(rest, plan, { ...untouched(rest), waitMs: patience.backMs() }));
  }
  return merge(held, parts);
}

/** Parts of a chunk, each with the inputs of its own items, so that not all of them go to a thread for each. */
function createCut(held: Held) {
  let read: ((index: number) => unknown) | null = null;
  const inputsOf = (indexes: readonly number[]): Held['inputs'] => {
    if (held.inputs.length === 0) return [];
    const valueAt = (read ??= readerOf(held));
    return indexes.map((index) => ({ first: index, items: JSON.stringify([valueAt(index)]) }));
  };
  return (from: number, upto: number, inputs?: Held['inputs']): Held => {
    const picks = Array.from({ length: upto - from }, (_, i) => indexAt(held, from + i));
    return { ...held, first: picks[0]!, size: picks.length, picks, inputs: inputs ?? inputsOf(picks) };
  };
}

function readerOf({ inputs }: Held): (index: number) => unknown {
  const rows = inputs.map(({ first, items }) => ({ first, values: JSON.parse(items) as unknown[] }));
  return (index) => {
    const { first, values } = rows.findLast((row) => row.first <= index)!;
    return values[index - first];
  };
}

/** What the parts have come to together. Rests point to the inputs of the chunk, not to those of a part. */
function merge(held: Held, parts: readonly Settled[]): Settled {
  const rowOf = (index: number): Inputs => held.inputs.findLast(({ first }) => first <= index)!;
  const rests = parts
    .flatMap((part) => part.rests)
    .map((rest) => {
      if (held.inputs.length === 0) return rest;
      const indexes = rest.picks ?? Array.from({ length: rest.size }, (_, i) => rest.first + i);
      const rows = [...new Set(indexes.map(rowOf))].sort((a, b) => a.first - b.first);
      return {
        ...rest,
        srcs: rows.map(({ first }) => first),
        bytes: rows.reduce((sum, row) => sum + row.items.length, 0),
      };
    });
  return {
    no: held.no,
    claim: held.claim,
    first: held.first,
    succeeded: parts.reduce((sum, { succeeded }) => sum + succeeded, 0),
    outputs: joinTexts(parts.flatMap(({ outputs }) => splitTexts(outputs))),
    indexes: parts.flatMap(({ indexes }) => indexes ?? []),
    failures: parts.flatMap(({ failures }) => failures),
    rests,
  };
}
