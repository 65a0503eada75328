import { countedHeader } from '@bullpen/api';
import type { InputsRow, Statements } from '@bullpen/db';
import type { Request, Response } from 'express';
import { findBatch } from './batches.ts';
import { createGate } from './gate.ts';
import { HttpProblem } from './problem.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';
import { writeAll } from './write-all.ts';

/** Streams at once. */
const streamsMax = 50;
/** Rows that are read and written down at once: 1 MiB of text each, and as much again as lines. */
const readsMax = 2;
/** A reader that has taken nothing for so long is left. */
const patienceMs = 30 * 60_000;

/**
 * `GET /v1/batches/{id}/inputs`: what was submitted, as a JSON line `{"index", "input"}` for each item, whether it has a result or not.
 * At the pace of the client and in flat memory, a row of inputs at a time.
 */
export function streamInputs(statements: Statements): Route {
  const throughGate = createGate(readsMax);
  let streams = 0;

  async function send(req: Request, res: Response, batch: number): Promise<void> {
    const read = (after: number) =>
      throughGate(async () => {
        const { row, counted } = await statements.inputsAfter({ batch, after });
        return { counted, part: row && { first: row.first, bytes: Buffer.from(linesOf(row)) } };
      });
    const { counted, part: begin } = await read(-1);
    res.setHeader('Content-Type', 'application/x-ndjson');
    res.setHeader(countedHeader, String(counted));
    res.setTimeout(patienceMs, () => res.destroy());
    for (let part = req.method === 'HEAD' ? null : begin; part !== null; part = (await read(part.first)).part)
      if (!(await writeAll(res, part.bytes))) return;
    // Deleted meanwhile: inputs that are gone must not look like the end.
    if ((await statements.plan(batch)) === null) return void res.destroy();
    res.end();
  }

  return async (req, res) => {
    readQuery(req, noQuery);
    const { no } = await findBatch(statements, req);
    refuseOtherTypes(req, res);
    if (streams >= streamsMax)
      throw new HttpProblem('busy', `${streamsMax} streams of inputs are read at the moment`, {
        headers: { 'Retry-After': '5' },
      });
    streams += 1;
    try {
      await send(req, res, no);
    } finally {
      streams -= 1;
    }
  };
}

function refuseOtherTypes(req: Request, res: Response): void {
  res.vary('Accept');
  if (req.accepts(['application/x-ndjson']) === false)
    throw new HttpProblem('not-acceptable', 'Inputs come as application/x-ndjson');
}

const linesOf = ({ first, indexes, items }: InputsRow): string =>
  (JSON.parse(items) as unknown[])
    .map((input, at) => `{"index":${indexes?.[at] ?? first + at},"input":${JSON.stringify(input)}}\n`)
    .join('');
