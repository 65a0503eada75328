import { sql } from 'drizzle-orm';
import type { Database } from '../database.ts';
import { batches } from '../schema.ts';
import { endsWhenSealed } from './control.ts';
import { prepareExtended } from './extend.ts';
import { startPass } from './fair.ts';

/** Items of a rolling batch; the next one goes to a new batch. */
export const rollingMax = sql.raw('1000000');
/** A rolling batch is that of one UTC day. */
export const today = sql`date_trunc('day', clock_timestamp(), 'UTC')`;

/**
 * Roll: the batch that takes single items of an owner and a handler. One of yesterday, one that is full and one that was cancelled are
 * closed, and a new one stands in their place. Answers its id.
 *
 * Repeatable: it asks for what should be so. Of two at once one makes the batch, and both answer it.
 */
export function prepareRollJobs(db: Database) {
  const handler = sql`${sql.placeholder('handler')}::text`;
  const owner = sql`${sql.placeholder('owner')}::text`;
  const over = sql`kind = 'jobs' and owner = ${owner} and handler = ${handler} and not sealed
    and (state = 'cancelled' or created_at < ${today} or total >= ${rollingMax})`;
  const closed = db.$with('closed', { no: batches.no }).as(sql`
    update batches set sealed = true, state = case when ${endsWhenSealed} then 'completed' else state end,
      finished_at = case when ${endsWhenSealed} then clock_timestamp() else finished_at end
    where ${over} returning no`);
  const close = db.with(closed).select({ no: closed.no }).from(closed).prepare('close_rolling');
  const made = db.$with('made', { id: batches.id }).as(sql`
    insert into batches (id, owner, kind, handler, state, sealed, total, options, pass)
    values (${sql.placeholder('id')}::uuid, ${owner}, 'jobs', ${handler}, 'running', false, 0, ${sql.placeholder('options')}::text::json,
      ${startPass(owner, sql`0`)})
    on conflict (owner, handler) where kind = 'jobs' and not sealed do update set handler = excluded.handler
    returning id, set_config('synchronous_commit', 'on', true)`);
  const make = db.with(made).select({ id: made.id }).from(made).prepare('roll_jobs');
  const extended = prepareExtended(db);
  return async (request: { owner: string; handler: string; id: string; options: string }): Promise<string> => {
    await close.execute({ owner: request.owner, handler: request.handler });
    return (await extended(() => make.execute(request)))[0]!.id;
  };
}
