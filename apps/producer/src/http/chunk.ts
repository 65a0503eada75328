import type { NewChunk } from '@bullpen/db';

/** A small batch is cut so that each partition gets about this many chunks, and so every worker some. */
const chunksPerPartition = 4;

/**
 * Items of a chunk: what the batch asks for, to the letter; else what the handler says or the service's setting, and
 * less for a small batch.
 */
export function chunkSizeFor(batch: {
  total: number;
  asked: number | undefined;
  /** Of the handler, else of the settings. */
  normal: number;
  partitions: number;
}): number {
  if (batch.asked !== undefined) return batch.asked;
  return Math.min(batch.normal, Math.ceil(batch.total / (chunksPerPartition * batch.partitions)));
}

/** A single input is larger than a chunk may be. */
export class InputTooLarge extends Error {
  readonly index: number;
  constructor(index: number) {
    super(`input ${index} is too large`);
    this.index = index;
  }
}

/**
 * Cuts inputs into chunks as they come: a chunk ends at `size` items or before its JSON text, brackets and commas
 * included, passes `maxBytes`. `push` throws InputTooLarge for one that fits no chunk.
 */
export function createCutter({ size, maxBytes }: { size: number; maxBytes: number }) {
  const chunks: NewChunk[] = [];
  let texts: string[] = [];
  let first = 0;
  let bytes = 2;

  function close(): void {
    if (texts.length === 0) return;
    chunks.push({ first, size: texts.length, items: `[${texts.join(',')}]` });
    first += texts.length;
    texts = [];
    bytes = 2;
  }

  return {
    /** The JSON text of the next input. */
    push(text: string): void {
      const length = Buffer.byteLength(text);
      if (length + 2 > maxBytes) throw new InputTooLarge(first + texts.length);
      const comma = texts.length === 0 ? 0 : 1;
      if (texts.length === size || bytes + comma + length > maxBytes) close();
      bytes += length + (texts.length === 0 ? 0 : 1);
      texts.push(text);
    },
    end(): NewChunk[] {
      close();
      return chunks;
    },
  };
}
