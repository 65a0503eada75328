import { completeHeader } from '@bullpen/api';
import type { Statements } from '@bullpen/db';
import type { Request, Response } from 'express';
import { createGate } from './gate.ts';
import { HttpProblem } from './problem.ts';
import type { Form } from './result-forms.ts';
import { placeAfter, readPart, type Source } from './result-rows.ts';
import { writeAll } from './write-all.ts';

/** Streams at once. */
const streamsMax = 200;
/** A part of a stream: what a slow reader holds in memory while it takes it. */
const partBytes = 256 * 1024;
/**
 * Parts that are read and written down at once. Their rows are the most that streams have on the heap: fifty new readers,
 * whose sockets take 4 MB each at once, would otherwise bring fifty parts at a time.
 */
const readsMax = 4;
/**
 * A reader that has taken nothing for so long is left. Linux tells of what it took only once a third of its socket's buffer
 * is free, steps of 1.4 MB on loopback: at 1 kB/s that takes 24 min, so a shorter patience would cut readers that read.
 */
const patienceMs = 30 * 60_000;

export interface StreamLimits {
  streamsMax?: number;
  patienceMs?: number;
}

export interface StreamRequest {
  source: Source;
  /** Only results with a greater index; −1: all. */
  after: number;
  form: Form;
  /** Nothing of the batch changes any more. */
  complete: boolean;
}

/**
 * Results in index order, at the pace of the client and in flat memory. What breaks off ends without the last chunk of
 * HTTP, so that a client sees it.
 */
export function createResultStreams(
  statements: Pick<Statements, 'results' | 'inputs' | 'plan'>,
  limits: StreamLimits = {},
) {
  const bounds = { streamsMax, patienceMs, ...limits };
  const throughGate = createGate(readsMax);
  let streams = 0;

  async function send(res: Response, { source, after, form, complete }: StreamRequest): Promise<void> {
    const read = (place = placeAfter(after)) =>
      throughGate(() => readPart(statements, { source, place, form, maxBytes: partBytes }));
    let part = await read();
    setHead(res, form, complete);
    res.setTimeout(bounds.patienceMs, () => res.destroy());
    if (form.head !== '' && !(await writeAll(res, form.head))) return;
    while (part !== null) {
      if (!(await writeAll(res, part.bytes))) return;
      part = await read(part.next);
    }
    // Deleted meanwhile: results that are gone must not look like the end.
    if ((await statements.plan(source.batch)) === null) return void res.destroy();
    res.end(complete ? '' : form.incomplete);
  }

  return async (req: Request, res: Response, request: StreamRequest): Promise<void> => {
    if (req.method === 'HEAD') {
      setHead(res, request.form, request.complete);
      return void res.end();
    }
    if (streams >= bounds.streamsMax) {
      throw new HttpProblem('busy', `${bounds.streamsMax} streams of results are read at the moment`, {
        headers: { 'Retry-After': '5' },
      });
    }
    streams += 1;
    try {
      await send(res, request);
    } finally {
      streams -= 1;
    }
  };
}

export type ResultStreams = ReturnType<typeof createResultStreams>;

function setHead(res: Response, { type }: Form, complete: boolean): void {
  res.setHeader('Content-Type', type);
  res.setHeader(completeHeader, String(complete));
}
