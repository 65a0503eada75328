import type { Statements, UploadedChunk } from '@bullpen/db';
import { createGate } from '../http/gate.ts';
import { HttpProblem } from '../http/problem.ts';

/** Bytes of one statement, about. */
const putBytes = 512 * 1024;
/** Statements that one upload has under way. */
const putsMax = 3;

export type Uploading = ReturnType<typeof createUploading>;

/** What all uploads of this process share: the bytes that wait in memory, and the connections that they may take. */
export function createUploading(limits: { bytesMax: number; connectionsMax: number }) {
  let held = 0;
  return {
    hold: (bytes: number): void => void (held += bytes),
    release: (bytes: number): void => void (held -= bytes),
    isFull: (): boolean => held > limits.bytesMax,
    /** Runs it when a connection is free, in order. */
    withConnection: createGate(limits.connectionsMax),
  };
}

/**
 * Stores the chunks of one upload as they are cut: about half a MiB a statement, three under way, while the next lines are read.
 * `add` holds the reader back where they are not stored fast enough, or where all uploads together hold too much.
 */
export function createPuts(deps: { put: Statements['put']; uploading: Uploading; no: number }) {
  const { uploading } = deps;
  const underway = new Set<Promise<void>>();
  let chunks: UploadedChunk[] = [];
  let bytes = 0;
  let failed: { error: unknown } | null = null;

  async function store(sent: readonly UploadedChunk[]): Promise<void> {
    const stored = await uploading.withConnection(() => deps.put({ no: deps.no, chunks: sent }));
    if (!stored) throw givenUp();
  }

  function send(): void {
    const size = bytes;
    const sent: Promise<void> = store(chunks)
      .catch((error: unknown) => void (failed ??= { error }))
      .finally(() => {
        uploading.release(size);
        underway.delete(sent);
      });
    underway.add(sent);
    chunks = [];
    bytes = 0;
  }

  function rethrow(): void {
    if (failed !== null) throw failed.error;
  }

  return {
    async add(more: readonly UploadedChunk[]): Promise<void> {
      for (const chunk of more) {
        const size = 2 * chunk.items.length + 8 * (chunk.indexes?.length ?? 0);
        uploading.hold(size);
        bytes += size;
        chunks.push(chunk);
        if (bytes < 2 * putBytes && !uploading.isFull()) continue;
        while (underway.size >= putsMax) await Promise.race(underway);
        rethrow();
        send();
        while (uploading.isFull() && underway.size > 0) await Promise.race(underway);
      }
      rethrow();
    },
    /** Resolves when all is stored. */
    async end(): Promise<void> {
      if (chunks.length > 0) send();
      await Promise.all(underway);
      rethrow();
    },
    /** Nothing more is sent; resolves when nothing is under way. */
    async abort(): Promise<void> {
      uploading.release(bytes);
      chunks = [];
      bytes = 0;
      await Promise.all(underway);
    },
  };
}

/** The upload was taken from this process: by the clean-up, or with its key by another request. */
export const givenUp = (): HttpProblem =>
  new HttpProblem('unavailable', 'The upload was not heard of for too long and is given up; send it again', {
    headers: { 'Retry-After': '1' },
  });
