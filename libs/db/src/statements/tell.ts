import { type SQL, sql } from 'drizzle-orm';
import { names } from '../bind.ts';
import type { Database } from '../database.ts';
import { batches, webhooks } from '../schema.ts';

/** Whom the completion of a batch is to be told. */
export interface Webhook {
  url: string;
  /** Of the url, with its port. */
  host: string;
  secret: string;
}

/** What is shown of it: never the secret. `cancelled`: the batch was, and nothing is sent. */
export interface WebhookState {
  url: string;
  state: 'waiting' | 'delivered' | 'failed' | 'cancelled';
  attempts: number;
  lastStatus: number | null;
  lastError: string | null;
}

/**
 * Sends of one owner to one host that one take begins at most; while they run, none of these is taken. Of another owner some are: who
 * makes a host of many slow waits for it alone.
 */
const perHostMax = sql.raw('8');
/** Sends of one owner that one take begins at most. */
const perOwnerMax = sql.raw('16');
/** What is due, of owners and hosts that are free, and looked at by one take. */
const lookMax = sql.raw('200');

/** A new batch with a webhook: the column of `batches` and its value, and the row. `made` names the CTE of the batch. */
export const tellColumn = sql.raw('tell_at');
export const tellOf = sql`case when ${sql.placeholder('hookUrl')}::text is not null then clock_timestamp() end`;
export const addWebhook = (made: string, fresh: SQL): SQL => sql`
  insert into webhooks (batch, url, host, secret)
  select no, ${sql.placeholder('hookUrl')}::text, ${sql.placeholder('hookHost')}::text, ${sql.placeholder('hookSecret')}::text
  from ${sql.raw(made)} where ${fresh} and ${sql.placeholder('hookUrl')}::text is not null`;
/** The placeholders of both. */
export const boundWebhook = (webhook: Webhook | null = null) => ({
  hookUrl: webhook?.url ?? null,
  hookHost: webhook?.host ?? null,
  hookSecret: webhook?.secret ?? null,
});

/** A retry sets the batch running again: the next completion is another delivery. For the placeholder `batch`, where `changed` has a row. */
export const untold = (changed: string): SQL => sql`
  update webhooks set state = 'waiting', delivery = null, attempts = 0, since = null, last_status = null, last_error = null
  where batch = ${sql.placeholder('batch')}::int and exists (select from ${sql.raw(changed)})`;

/** The webhook of a row of `batches`, as it is shown. */
export const webhookState = sql<WebhookState | null>`(
  select json_build_object('url', w.url,
    'state', case when w.state = 'waiting' and batches.state = 'cancelled' then 'cancelled' else w.state end,
    'attempts', w.attempts, 'lastStatus', w.last_status, 'lastError', w.last_error)
  from webhooks w where w.batch = batches.no)`;

/** One try that begins. */
export interface Telling {
  no: number;
  id: string;
  owner: string;
  url: string;
  host: string;
  secret: string;
  delivery: string;
  /** This one included. */
  attempts: number;
}

/**
 * Take: completions that are due to be told, at most `most`, none of an owner to a host in `busy`, and none of the owners in `full`. Each
 * is the caller's for `leaseMs`; a caller that dies leaves it to the next one, under the same delivery id.
 *
 * No statement that completes a batch has to say so: due is what is completed and has its time, which accept gave it. That is read
 * when it is committed, and a completion waits for the disk (count-outcomes.ts), so nothing is told that a crash could take back.
 *
 * Repeatable: a second run takes others. What only the first has taken waits for its lease, with a try more than were made.
 *
 * The index `batches_to_tell` holds only what is completed and not told. Batches are locked before their webhooks, as by retry and
 * remove, and looked at again under the lock.
 */
export function prepareTakeTellings(db: Database) {
  const due = db.$with('due', {}).as(sql`
    select no, k, row_number() over (partition by owner order by k, tell_at) as n from (
      select d.*, row_number() over (partition by owner, host order by tell_at) as k from (
        select b.no, b.owner, b.tell_at, w.host from batches b join webhooks w on w.batch = b.no
        where b.state = 'completed' and b.tell_at is not null and b.tell_at <= statement_timestamp()
          and not b.owner || ' ' || w.host = any(${sql.placeholder('busy')}::text[]) and not b.owner = any(${sql.placeholder('full')}::text[])
        order by b.tell_at limit ${lookMax}) d) e where k <= ${perHostMax}`);
  const held = db.$with('held', {}).as(sql`
    select no from batches where no = any(array(select no from due where n <= ${perOwnerMax} order by k, n limit ${sql.placeholder('most')}::int))
      and state = 'completed' and tell_at <= statement_timestamp() order by no for no key update skip locked`);
  const leased = db.$with('leased', { no: batches.no, id: batches.id, owner: batches.owner }).as(sql`
    update batches set tell_at = clock_timestamp() + make_interval(secs => ${sql.placeholder('leaseMs')}::float8 / 1000)
    where no = any(array(select no from held)) returning no, id, owner`);
  const taken = db.$with('taken', {
    batch: webhooks.batch, url: webhooks.url, host: webhooks.host, secret: webhooks.secret,
    delivery: sql<string>`delivery`.as('delivery'), attempts: webhooks.attempts,
  }).as(sql`
    update webhooks set delivery = coalesce(delivery, gen_random_uuid()), attempts = attempts + 1, since = coalesce(since, clock_timestamp())
    where batch = any(array(select no from leased)) returning batch, url, host, secret, delivery, attempts`); // prettier-ignore
  const query = db
    .with(due, held, leased, taken)
    .select({
      no: leased.no,
      id: leased.id,
      owner: leased.owner,
      url: taken.url,
      host: taken.host,
      secret: taken.secret,
      delivery: taken.delivery,
      attempts: taken.attempts,
    })
    .from(taken)
    .innerJoin(leased, sql`${leased.no} = ${taken.batch}`)
    .prepare('take_tellings');
  return (request: {
    most: number;
    busy: readonly Pick<Telling, 'owner' | 'host'>[];
    full: readonly string[];
    leaseMs: number;
  }): Promise<Telling[]> =>
    query.execute({
      ...request,
      busy: names(request.busy.map(({ owner, host }) => `${owner} ${host}`)),
      full: names(request.full),
    });
}

/** What came of one try. */
export interface Told {
  no: number;
  delivery: string;
  delivered: boolean;
  /** HTTP status; null: there was no answer. */
  status: number | null;
  /** Why it was not taken. */
  error: string | null;
  /** When to try again, from now. */
  nextMs: number;
  /** No more tries so long after the first one began. */
  patienceMs: number;
}

/**
 * Tell: a try of this delivery is over. Answers what it has come to; null: it is over already, or a retry has set its batch
 * running, and nothing has changed.
 *
 * Repeatable: it sets what should be so. A late try cannot take back that another one was delivered.
 */
export function prepareTell(db: Database) {
  const batch = sql`${sql.placeholder('no')}::int`;
  const held = db.$with('held', {}).as(sql`select no from batches where no = ${batch} for no key update`);
  const over = sql`since < clock_timestamp() - make_interval(secs => ${sql.placeholder('patienceMs')}::float8 / 1000)`;
  const told = db.$with('told', { state: webhooks.state }).as(sql`
    update webhooks set last_status = ${sql.placeholder('status')}::int, last_error = ${sql.placeholder('error')}::text,
      state = case when ${sql.placeholder('delivered')}::boolean then 'delivered' when ${over} then 'failed' else 'waiting' end
    where batch in (select no from held) and delivery = ${sql.placeholder('delivery')}::uuid and state = 'waiting'
    returning batch, state`);
  const set = db.$with('set', {}).as(sql`
    update batches set tell_at = case when told.state = 'waiting'
      then clock_timestamp() + make_interval(secs => ${sql.placeholder('nextMs')}::float8 / 1000) end
    from told where no = told.batch`);
  const query = db.with(held, told, set).select({ state: told.state }).from(told).prepare('tell');
  return async (outcome: Told): Promise<'waiting' | 'delivered' | 'failed' | null> =>
    (await query.execute({ ...outcome }))[0]?.state ?? null;
}
