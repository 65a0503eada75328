import { failuresQuerySchema } from '@bullpen/api';
import { type FailureRow, fingerprintOf, type Statements } from '@bullpen/db';
import { sendText } from './answer.ts';
import { findBatch } from './batches.ts';
import { readQuery } from './query.ts';
import type { Route } from './resource.ts';
import { resultText } from './result-rows.ts';

/** `GET /v1/batches/{id}/failures`: by cause, so that 100 000 failures of 7 causes read as 7 lines. */
export function listFailures({ statements }: { statements: Statements }): Route {
  return async (req, res) => {
    const { limit } = readQuery(req, failuresQuerySchema);
    const { no } = await findBatch(statements, req);
    const rows = await statements.failures({ batch: no, limit });
    const causes = rows[0]?.causes ?? 0;
    sendText(res, 200, 'application/json', `{"items":[${rows.map(failureText).join(',')}],"causes":${causes}}`);
  };
}

function failureText({ fingerprint, count, firstIndex, lastIndex, sample }: FailureRow): string {
  const { code, message } = JSON.parse(sample.error!) as { code: string; message: string };
  const facts = {
    fingerprint: fingerprint ?? fingerprintOf({ code, message }),
    code,
    message,
    count,
    firstIndex,
    lastIndex,
  };
  return `${JSON.stringify(facts).slice(0, -1)},"sample":${resultText(sample)}}`;
}
