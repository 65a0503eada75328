import { mayHaveCommitted } from '@bullpen/db';
import { SilentDatabase } from '../http/deadline.ts';
import { NoAnswer } from '../http/problem.ts';

/**
 * A statement after which a batch may run. Where its connection died nobody knows whether it has committed, and any answer
 * could be a lie: NoAnswer cuts the connection instead, and the same Idempotency-Key tells which it was.
 */
export async function confirmed<Answer>(batchId: string, statement: Promise<Answer>): Promise<Answer> {
  try {
    return await statement;
  } catch (error) {
    throw mayHaveCommitted(error) || error instanceof SilentDatabase ? new NoAnswer(batchId, { cause: error }) : error;
  }
}
