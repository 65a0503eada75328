import type { Batch, Client } from '@bullpen/api';
import { isOver } from '../batch.ts';
import { Failure } from '../failure.ts';
import { type Cover, createCover, intersect, type Range, type Ranges, subtract } from './ranges.ts';

/** What the batches of a chain have come to. */
export interface Survey {
  batches: number;
  /** What is submitted now goes by its params and options. */
  newest: Batch;
  /** The newest batch that is over, if any: until another one is, the same heights are submitted under the same keys. */
  newestOver: string | undefined;
  /** The heights that were looked at: from the least to the greatest that a batch names, unless said otherwise. */
  bounds: Range;
  /** Without a succeeded result, and not on their way either. */
  missing: Ranges;
  /** With more than one succeeded result. */
  doubled: Ranges;
  /** Without a succeeded result, in a batch that is not over. */
  onTheirWay: Ranges;
  /** With one succeeded result. */
  single: Ranges;
  /** Results and inputs that name no height. */
  nameless: number;
}

export interface Asked {
  handler: string;
  chain: string;
  from?: number | undefined;
  to?: number | undefined;
}

interface Covers {
  /** Heights that were submitted. */
  named: Cover;
  succeeded: Cover;
  open: Cover;
  nameless: number;
}

/** Reads all batches of the chain. Memory goes by the ranges that their heights make. Throws where there is no such batch. */
export async function surveyChain(client: Client, asked: Asked): Promise<Survey> {
  const covers: Covers = { named: createCover(), succeeded: createCover(), open: createCover(), nameless: 0 };
  let newest: Batch | undefined;
  let newestOver: string | undefined;
  let batches = 0;
  for await (const batch of batchesOf(client, asked)) {
    newest ??= batch;
    if (isSettled(batch)) newestOver ??= batch.id;
    batches += 1;
    const isCounted = await client.isCounted(batch.id);
    refuseForgetful(batch, isCounted);
    await (isCounted ? readCounted(client, batch, covers) : readGiven(client, batch, covers));
  }
  if (newest === undefined)
    throw new Failure(
      `There is no batch of ${asked.handler} with params.chain "${asked.chain}". Look: pnpm bullpen list`,
    );
  return { batches, newest, newestOver, nameless: covers.nameless, ...compare(covers, asked) };
}

/** Newest first, in all states; those that were run dry indexed nothing. */
async function* batchesOf(client: Client, { handler, chain }: Asked): AsyncGenerator<Batch> {
  for (let cursor: string | undefined; ;) {
    const { items, nextCursor } = await client.listBatches({ handler, limit: 100, cursor });
    for (const batch of items)
      if (fieldOf(batch.params, 'chain') === chain && batch.options.dryRun !== true) yield batch;
    if (nextCursor === null) return;
    cursor = nextCursor;
  }
}

function compare({ named, succeeded, open }: Covers, { from, to }: Asked) {
  const all = named.read().once;
  const bounds: Range = [from ?? all[0]?.[0] ?? 0, to === undefined ? (all.at(-1)?.[1] ?? 0) : to + 1];
  const { once, twice } = succeeded.read();
  const within: Ranges = bounds[0] < bounds[1] ? [bounds] : [];
  const without = subtract(within, once);
  const doubled = intersect(within, twice);
  const onTheirWay = intersect(without, open.read().once);
  return {
    bounds,
    missing: subtract(without, onTheirWay),
    doubled,
    onTheirWay,
    single: subtract(intersect(within, once), doubled),
  };
}

/** Without the results of what succeeded, its heights would look missing: only a count that is complete tells them all the same. */
function refuseForgetful({ id, state, options }: Batch, isCounted: boolean): void {
  if (options.keepResults !== 'failed' || (isCounted && state === 'completed')) return;
  throw new Failure(
    `Batch ${id} keeps the results of failed items only (keepResults), so nobody can tell which heights it has: ` +
      'submit the chain with keepResults "all", or by start and count and wait until it is completed',
  );
}

/** No worker holds anything of it any more. */
const isSettled = (batch: Batch): boolean => isOver(batch) && batch.counts.running === 0;

/** A count batch: item i is the height start + i, so that what has no row follows from what has one. */
async function readCounted(client: Client, batch: Batch, { named, succeeded, open }: Covers): Promise<void> {
  const { id, state, counts } = batch;
  const start = startOf(batch);
  const heights: Ranges = counts.total === 0 ? [] : [[start, start + counts.total]];
  named.addAll(heights);
  if (state === 'completed') {
    const failed = createCover();
    if (counts.failed > 0)
      for await (const { index } of resultsOf(client, id, { status: 'failed' }))
        failed.add(start + index, start + index + 1);
    return succeeded.addAll(subtract(heights, failed.read().once));
  }
  const final = createCover();
  for await (const { index, status } of resultsOf(client, id)) {
    final.add(start + index, start + index + 1);
    if (status === 'succeeded') succeeded.add(start + index, start + index + 1);
  }
  if (!isSettled(batch)) open.addAll(subtract(heights, final.read().once));
}

/** A batch of inputs: results tell their heights, and where not all have succeeded, the inputs tell the others. */
async function readGiven(client: Client, batch: Batch, covers: Covers): Promise<void> {
  const { id, state, counts } = batch;
  const isWhole = state === 'completed' && counts.failed === 0;
  const [given, final] = [createCover(), createCover()];
  const take = (height: number | undefined, ...into: Cover[]): void => {
    if (height === undefined) covers.nameless += 1;
    else for (const cover of into) cover.add(height, height + 1);
  };
  // Before the results: what is appended or ends meanwhile is then missed by none of them.
  if (!isWhole)
    for await (const line of client.inputLines(id))
      take(heightOf((JSON.parse(line) as { input: unknown }).input), given);
  for await (const { status, input, output } of resultsOf(client, id, { inputs: !isWhole })) {
    const height = heightOf(output) ?? heightOf(input);
    if (status === 'succeeded') take(height, covers.named, covers.succeeded, final);
    else if (height !== undefined) final.add(height, height + 1);
  }
  covers.named.addAll(given.read().once);
  if (!isSettled(batch)) covers.open.addAll(subtract(given.read().once, final.read().once));
}

interface ResultLine {
  index: number;
  status: string;
  input?: unknown;
  output: unknown;
}

/** The results that are there; the last line of a batch that runs is none. */
async function* resultsOf(
  client: Client,
  id: string,
  query: { status?: 'failed'; inputs?: boolean } = {},
): AsyncGenerator<ResultLine> {
  for await (const line of client.resultLines(id, query)) {
    const result = JSON.parse(line) as Partial<ResultLine>;
    if (result.index !== undefined) yield result as ResultLine;
  }
}

const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;

const isHeight = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function heightOf(value: unknown): number | undefined {
  const height = fieldOf(value, 'height');
  return isHeight(height) ? height : undefined;
}

function startOf({ id, params, counts }: Batch): number {
  const start = fieldOf(params, 'start') ?? 0;
  if (isHeight(start) && isHeight(start + counts.total)) return start;
  throw new Failure(`Batch ${id} has no start that is a height: params.start is ${JSON.stringify(start)}`);
}
