import { type SQL, sql } from 'drizzle-orm';

/** Items of which some have to be final before a part of them that failed says anything. */
const rateFrom = 100;

/** What the options of a batch say of when it stops, and when it begins: columns of `batches` for an insert, and their values. */
export const brakeColumns = sql.raw('max_failures, max_failure_rate, hold_at, not_before');
export const brakesOf = (options: SQL): SQL => sql`
  (${options} ->> 'maxFailures')::int, (${options} ->> 'maxFailureRate')::float8, (${options} ->> 'canary')::bigint, (${options} ->> 'notBefore')::timestamptz`;

/** Of a batch `b`: its time has come. */
export const hasBegun = sql.raw('(b.not_before is null or b.not_before <= clock_timestamp())');
/** Of a chunk `c` of it: it is not held back. No chunk has items on both sides (apps/producer/src/intake/chunk.ts). */
export const isReleased = sql.raw('(b.hold_at is null or c.first < b.hold_at)');

/**
 * What a flush makes of a batch `b` that runs, which adds the outcomes `s`: it pauses on too many failures, but only where this flush adds some, so that a
 * batch that was resumed goes on until the next; and when all that is not held back is final.
 */
export function brakes() {
  const failed = sql.raw('(b.failed + s.failed)');
  const done = sql.raw('(b.succeeded + s.succeeded + b.failed + s.failed)');
  const fails = sql`(b.state = 'running' and s.failed > 0 and (${failed} >= b.max_failures
    or (${done} >= ${sql.raw(String(rateFrom))} and ${failed} > b.max_failure_rate * ${done})))`;
  const holds = sql`(b.state = 'running' and ${done} >= b.hold_at)`;
  return { fails, holds };
}
