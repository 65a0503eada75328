import type { UploadedChunk } from '@bullpen/db';

/** A small batch is cut so that each partition gets about this many chunks, and so every worker some. */
const chunksPerPartition = 4;
/** Items of the first chunks of a stream, whose length nobody knows. */
const streamStart = 25;

export interface SizeRules {
  asked: number | undefined;
  /** Of the handler, else of the settings. */
  normal: number;
  partitions: number;
  /** Its chunks stand in lines. Each of these is one worker's whatever it is cut into: small chunks would only be more of them. */
  keyed: boolean;
}

/**
 * Items of a chunk: what the batch asks for, to the letter; else what the handler says or the service's setting, and
 * less for a small batch.
 */
export function chunkSizeFor(batch: SizeRules & { total: number }): number {
  if (batch.asked !== undefined) return batch.asked;
  if (batch.keyed) return batch.normal;
  return Math.min(batch.normal, Math.ceil(batch.total / (chunksPerPartition * batch.partitions)));
}

/**
 * The same for a stream, by the items that came before: 25, and twice as many whenever a batch that ended here would
 * still give each partition its chunks.
 */
export function growingSize(batch: SizeRules) {
  if (batch.asked !== undefined) return () => batch.asked!;
  if (batch.keyed) return () => batch.normal;
  const first = chunksPerPartition * batch.partitions * streamStart;
  return (before: number): number =>
    Math.min(batch.normal, streamStart * 2 ** Math.max(0, Math.floor(Math.log2(before / first))));
}

/** The same where items from `canary` on are held back: a chunk ends there. */
export const heldAt =
  (canary: number | undefined, sizeFor: (first: number) => number) =>
  (first: number): number =>
    canary !== undefined && first < canary ? Math.min(sizeFor(first), canary - first) : sizeFor(first);

/** A single input is larger than a chunk may be. */
export class InputTooLarge extends Error {
  readonly index: number;
  constructor(index: number) {
    super(`input ${index} is too large`);
    this.index = index;
  }
}

export type Skipped = UploadedChunk['skipped'][number]['error'];

/** How items become chunks. */
export interface CutRules {
  /** Items of the chunk that begins at this index. */
  sizeFor: (first: number) => number;
  maxBytes: number;
}

/** Takes inputs as they come, and gives chunks. */
export interface Cutter {
  /** The JSON text of the next input and its value; `error`: it is stored, and has failed already. */
  push: (text: string, value?: unknown, error?: Skipped) => void;
  /** Chunks that were cut since the last time. */
  take: () => UploadedChunk[];
  /** The same, with what was open. */
  end: () => UploadedChunk[];
}

/**
 * Cuts inputs into chunks as they come: a chunk ends at the size for where it begins, or before its JSON text, brackets and
 * commas included, passes `maxBytes`. `push` throws InputTooLarge for one that fits no chunk.
 */
export function createCutter({ sizeFor, maxBytes }: CutRules): Cutter {
  let chunks: UploadedChunk[] = [];
  let texts: string[] = [];
  let skipped: { index: number; error: Skipped }[] = [];
  let first = 0;
  let bytes = 2;
  let size = sizeFor(0);

  function close(): void {
    if (texts.length === 0) return;
    chunks.push({ first, size: texts.length, items: `[${texts.join(',')}]`, skipped });
    first += texts.length;
    texts = [];
    skipped = [];
    bytes = 2;
    size = sizeFor(first);
  }

  return {
    push(text, _, error) {
      const length = Buffer.byteLength(text);
      if (length + 2 > maxBytes) throw new InputTooLarge(first + texts.length);
      const comma = texts.length === 0 ? 0 : 1;
      if (texts.length === size || bytes + comma + length > maxBytes) close();
      if (error !== undefined) skipped.push({ index: first + texts.length, error });
      bytes += length + (texts.length === 0 ? 0 : 1);
      texts.push(text);
    },
    take() {
      const cut = chunks;
      if (cut.length > 0) chunks = [];
      return cut;
    },
    end() {
      close();
      return this.take();
    },
  };
}
