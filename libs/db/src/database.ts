import { postgresPlace } from '@bullpen/runtime';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import * as schema from './schema.ts';
import { type Address, createSockets } from './sockets.ts';

/** A statement may run this long; the server ends it then (57014). */
const statementTimeoutMs = 30_000;
/** A server that says nothing about one for longer has frozen, or is cut off. */
const silentMs = statementTimeoutMs + 5000;

export interface DatabaseOptions {
  url: string;
  /** Connections at most. */
  max: number;
  /** Shown in pg_stat_activity. */
  name: string;
  /** False: a commit does not wait for the disk. Only for statements that may be lost whole; the rest asks for it itself. */
  durable: boolean;
  /** True: plans are made once, for statements that find all they need by an index. Default: anew for each call. */
  keepsPlans?: boolean;
  /** Schema all tables are in. */
  schema?: string;
  /** A connection on which a question has had no answer for so long is ended. Default: a little longer than a statement may run. */
  silentMs?: number;
}

export const defaultSchema = 'bullpen';

/** A plan that was made on an empty table stays a sequential scan: 28 ms instead of 0.5. */
const plansFresh = { plan_cache_mode: 'force_custom_plan' };

/**
 * To plan a flush takes 1.5 ms, a claim 0.7, and a single item with all that follows from it 8 of 16 ms. A plan that is kept must
 * be good at any size of the tables, also when it was made while they were empty: so only by indexes, row by row. A
 * partial index is taken where the text says what it holds; a parameter says nothing. Words (`off`), since postgres.js leaves
 * out what is false.
 */
const plansKept = {
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
};

/** Throws a Refusal where the URL asks for a kind of TLS that there is not. */
export function openDatabase(options: DatabaseOptions) {
  const { url, ssl } = postgresPlace(options.url);
  const sockets = createSockets({ withTls: ssl !== false, silentMs: options.silentMs ?? silentMs });
  const client = postgres(url, {
    max: options.max,
    fetch_types: false,
    connect_timeout: 5,
    idle_timeout: 20,
    backoff: (attempt: number) => Math.min(0.05 * 2 ** attempt, 1),
    onnotice: () => undefined,
    connection: {
      application_name: options.name,
      search_path: options.schema ?? defaultSchema,
      ...(options.keepsPlans ? plansKept : plansFresh),
      // Until results of a minute ago are analyzed, a page of them would be a bitmap and a sort of all that follow it.
      enable_bitmapscan: 'off',
      // It costs more than it gives here.
      jit: 'off',
      statement_timeout: statementTimeoutMs,
      synchronous_commit: options.durable ? 'on' : 'off',
    },
    ssl,
    socket: (asked: Address) => sockets.add(asked),
  } as postgres.Options<Record<string, postgres.PostgresType>>);
  const db = drizzle(client, { schema });
  renewals.set(db, sockets.renew);
  const pool = { max: options.max, open: sockets.open };
  return {
    db,
    client,
    pool,
    close: () => client.end({ timeout: 5 }),
    ping: () => ping(db),
    measure: () => measure(db),
  };
}

const renewals = new WeakMap<object, () => void>();

/** Ends the connections of its pool, but those that were opened just now. For what is wrong with a session and not with its statement. */
export const renewConnections = (db: Database): void => renewals.get(db)?.();

type Queryable = { execute: (query: ReturnType<typeof sql>) => PromiseLike<unknown> };

/** What keeps the database from answering within a second, as lines; [] is good. */
async function ping(db: Queryable): Promise<string[]> {
  const late = new Promise<string[]>((resolve) =>
    setTimeout(() => resolve(['PostgreSQL does not answer']), 1000).unref(),
  );
  const answer = Promise.resolve(db.execute(sql`select 1`)).then(
    () => [],
    () => ['PostgreSQL does not answer'],
  );
  return Promise.race([answer, late]);
}

/** Time of one round trip in ms: the median of five. */
async function measure(db: Queryable): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < 6; run += 1) {
    const started = performance.now();
    await db.execute(sql`select 1`);
    times.push(performance.now() - started);
  }
  // The first one also connected.
  return Math.round(times.slice(1).sort((a, b) => a - b)[2]! * 100) / 100;
}

export type OpenDatabase = ReturnType<typeof openDatabase>;
export type Database = OpenDatabase['db'];
