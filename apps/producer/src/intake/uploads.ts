import type { Statements, WholeUpload } from '@bullpen/db';
import { within } from '../http/deadline.ts';
import { HttpProblem } from '../http/problem.ts';
import { createTurns } from './turns.ts';
import { createUploading } from './puts.ts';

/** Streams that are read at once, in this process. */
const uploadsMax = 32;
/** A statement that takes longer has met a server that froze. */
const patienceMs = 15_000;

export interface UploadSettings {
  leaseMs: number;
  uploadMaxBufferBytes: number;
  databasePoolMax: number;
}

export type Uploads = ReturnType<typeof createUploads>;

/**
 * The streams that this process reads: what they share, and the loop by which the database knows that their producer is there;
 * `keepOnce` answers after how many ms to run it again.
 */
export function createUploads({ statements, settings }: { statements: Statements; settings: UploadSettings }) {
  const open = new Set<number>();
  let reading = 0;
  return {
    turns: createTurns(),
    uploading: createUploading({
      bytesMax: settings.uploadMaxBufferBytes,
      connectionsMax: Math.max(1, Math.floor(settings.databasePoolMax / 2)),
    }),
    /** Not the statements that give up after 5 s: on a busy disk half a MiB, and the commit of a GB, may take longer. */
    put: (request: Parameters<Statements['put']>[0]) => within(patienceMs, statements.put(request)),
    goLive: (upload: WholeUpload) => within(patienceMs, statements.goLive(upload)),
    /** Takes one of the places for streams; answers how to give it back. */
    enter(): () => void {
      if (reading >= uploadsMax)
        throw new HttpProblem('busy', `${uploadsMax} uploads are read at the moment`, {
          headers: { 'Retry-After': '2' },
        });
      reading += 1;
      return () => void (reading -= 1);
    },
    /** The upload of this number is kept until the answer is called. */
    keep(no: number): () => void {
      open.add(no);
      return () => void open.delete(no);
    },
    async keepOnce(): Promise<number> {
      const { leaseMs } = settings;
      if (open.size > 0) await statements.keepUploads({ nos: [...open], leaseMs });
      return Math.min(1000, leaseMs / 5);
    },
  };
}
