import type { Hash } from 'node:crypto';
import type { NewBatch, Receipt } from '@bullpen/db';
import type { Handler } from '@bullpen/handlers';
import type { HttpDeps } from '../http/deps.ts';
import { createCellReaders } from './cells.ts';
import { createCheck } from './check.ts';
import { growingSize, heldAt } from './chunk.ts';
import { confirmed } from './confirmed.ts';
import { underKey } from './key.ts';
import { cutterFor, type Lines, linesFor } from './line-chunks.ts';
import { readLines } from './lines.ts';
import type { Form } from './media.ts';
import { createPuts, givenUp } from './puts.ts';
import { type Block, readItems, type ReadRules, type WhatCame } from './read-items.ts';
import { readRows } from './rows.ts';

/** A stream of inputs for one batch. */
export interface Stream {
  form: Form;
  body: AsyncIterable<Buffer>;
  handler: Handler;
  chunkSize: number | undefined;
  groupBy: string | undefined;
  canary: number | undefined;
  onInvalid: ReadRules['onInvalid'];
}

/** What came of a stream: the header of a CSV, and the lines where it has groups. */
interface Came extends WhatCame {
  columns: readonly string[] | null;
  lines: Lines | null;
}

export type StreamDeps = Pick<HttpDeps, 'settings' | 'installation' | 'statements' | 'uploads'>;

/** Reads all of a stream. `store` takes its chunks. */
export async function readStream(
  deps: StreamDeps,
  { form, body, handler, chunkSize, groupBy, canary, onInvalid }: Stream,
  store: ReadRules['store'],
): Promise<Came> {
  const { chunkMaxBytes, maxItemsPerBatch, chunkSize: usual } = deps.settings;
  let columns: readonly string[] | null = null;
  const blocks: AsyncIterable<Block> =
    form === 'csv'
      ? readRows(body, {
          rowMaxBytes: chunkMaxBytes - 2,
          readerOf: createCellReaders(handler),
          groupBy,
          onColumns: (names) => (columns = names),
        })
      : readLines(body, { lineMaxBytes: chunkMaxBytes - 2 });
  const { partitions } = deps.installation;
  const lines = linesFor({ groupBy }, partitions);
  const normal = handler.chunkSize ?? usual;
  const came = await readItems(blocks, {
    handler: handler.name,
    check: createCheck(handler),
    cutter: cutterFor({
      sizeFor: heldAt(canary, growingSize({ asked: chunkSize, normal, partitions, keyed: lines !== null })),
      maxBytes: chunkMaxBytes,
      lines,
    }),
    turns: deps.uploads.turns,
    itemsMax: maxItemsPerBatch,
    maxBytes: chunkMaxBytes,
    onInvalid,
    store,
  });
  return { ...came, columns, lines };
}

/** What is made of a stream when its last byte was read; throws what is in the way. */
export type Finish = (came: Came & { chunks: number }) => NewBatch;

/**
 * Stores a stream while it comes, and lets it go live. Whatever is in the way leaves nothing that runs, and is cleaned up.
 * Answers the batch, or the receipt of an earlier request with this key: then nothing of the body was read.
 */
export async function upload(
  deps: StreamDeps,
  stream: Stream,
  given: {
    id: string;
    owner: string;
    key: string | null;
    hash: Hash | undefined;
    large: boolean;
    /** Throws what is in the way before anything is read. */
    admit: () => void;
    finish: Finish;
  },
): Promise<{ batch: NewBatch } | { receipt: Receipt }> {
  const { statements, settings } = deps;
  const { id, owner, key, large } = given;
  let live = false;
  try {
    const opened = await underKey(statements, { owner, key }, () => {
      given.admit();
      return statements.openUpload({ id, owner, key, leaseMs: settings.leaseMs, large });
    });
    if ('receipt' in opened) return opened;
    const no = opened.answer;
    const puts = createPuts({ ...deps.uploads, no });
    const close = deps.uploads.keep(no);
    try {
      let chunks = 0;
      const came = await readStream(deps, stream, (cut) => {
        chunks += cut.filter(({ size, skipped }) => size > skipped.length).length;
        return puts.add(cut);
      });
      const batch = given.finish({ ...came, chunks });
      await puts.end();
      const whole = { ...batch, no, chunks, skipped: came.skipped };
      const known = key === null ? undefined : { key, hash: given.hash!.digest('hex') };
      live = await confirmed(id, deps.uploads.goLive({ ...whole, key: known }));
      if (!live) throw givenUp();
      return { batch };
    } finally {
      await puts.abort();
      close();
    }
  } finally {
    if (!live) void statements.abortUpload(id).catch(() => undefined);
  }
}
