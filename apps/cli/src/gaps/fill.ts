import { createHash } from 'node:crypto';
import type { Batch, Client, Options } from '@bullpen/api';
import type { Context } from '../context.ts';
import { sendUnderKey } from '../sending.ts';
import { type Range, type Ranges, sizeOf } from './ranges.ts';
import type { Survey } from './survey.ts';

/** A range from so many heights on is a batch of its own, by its count: as many as one chunk has. */
const countedFrom = 1000;
/** Of one batch by count, as many as a batch may have by default. */
const countedMax = 10_000_000;
/** Heights of all batches by count of one run, unless said otherwise. */
export const countedHeightsMax = 10_000_000;
/** Heights of the batch of lines that takes the short ranges. */
const linesMax = 1_000_000;

export interface Plan {
  /** A batch by count each. */
  counted: Ranges;
  /** One batch, a line for each height. */
  lines: Ranges;
  /** Heights of which there is too much for one run. */
  left: number;
}

/** How missing heights are submitted: what is long by count, what is short a line each, bounded in both. */
export function planOf(missing: Ranges, most = countedHeightsMax): Plan {
  const counted: Range[] = [];
  let countedRoom = most;
  for (let [from, end] of missing.filter(([from, end]) => end - from >= countedFrom))
    for (; from < end && countedRoom > 0; from += countedMax) {
      const size = Math.min(end - from, countedMax, countedRoom);
      counted.push([from, from + size]);
      countedRoom -= size;
    }
  const lines: Range[] = [];
  let room = linesMax;
  for (const [from, end] of missing.filter(([from, end]) => end - from < countedFrom)) {
    const taken = Math.min(end - from, room);
    if (taken > 0) lines.push([from, from + taken]);
    room -= taken;
  }
  return { counted, lines, left: sizeOf(missing) - sizeOf(counted) - sizeOf(lines) };
}

/**
 * Submits the plan by handler, params and options of the newest batch of the chain. Keys are made of the heights and of the newest batch that
 * was over: two who look at the same time submit once, and what has failed since then may be submitted again.
 */
export async function submitPlan(
  context: Context,
  client: Client,
  { plan, survey, priority }: { plan: Plan; survey: Survey; priority: number },
): Promise<Batch[]> {
  const { handler, params } = survey.newest;
  const { start: _, ...shared } = params as Record<string, unknown>;
  const head = {
    handler,
    name: `gaps of ${String(shared['chain'])}`.slice(0, 200),
    options: optionsOf(survey.newest, priority),
  };
  const keyOf = (what: object): string =>
    `gaps-${createHash('sha256')
      .update(JSON.stringify([survey.newestOver, head, shared, what]))
      .digest('hex')}`;
  const send = (key: string, submit: (signal: AbortSignal) => Promise<Batch>): Promise<Batch> =>
    sendUnderKey(context, { key, repeatable: true }, submit);

  const submitted: Batch[] = [];
  for (const [start, end] of plan.counted) {
    const key = keyOf([start, end]);
    const body = { ...head, count: end - start, params: { ...shared, start } };
    submitted.push(await send(key, (signal) => client.submit(body, { key, signal })));
  }
  if (plan.lines.length > 0) {
    const key = keyOf({ lines: plan.lines });
    const stream = { ...head, params: shared, form: 'ndjson', key } as const;
    submitted.push(await send(key, (signal) => client.submitStream({ ...stream, body: linesOf(plan.lines), signal })));
  }
  return submitted;
}

/** Those that say how an item is run, and how fast. */
function optionsOf({ options }: Batch, priority: number): Options {
  const { chunkSize, maxAttempts, backoffMs, timeoutMs, rateLimit, concurrency, weight } = options;
  return { chunkSize, maxAttempts, backoffMs, timeoutMs, rateLimit, concurrency, weight, priority };
}

const linesPerPart = 1000;

async function* linesOf(ranges: Ranges): AsyncGenerator<Uint8Array> {
  let part: string[] = [];
  for (const [from, end] of ranges) {
    for (let height = from; height < end; height += 1) part.push(`{"height":${height}}\n`);
    if (part.length < linesPerPart) continue;
    yield Buffer.from(part.join(''));
    part = [];
  }
  if (part.length > 0) yield Buffer.from(part.join(''));
}
