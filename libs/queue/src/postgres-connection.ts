import type { EventEmitter } from 'node:events';
import { postgresPlace } from '@bullpen/runtime';
import { PostgresConnection, type PostgresPoolConfig } from 'bullmq';
import { statementConnections } from './backend.ts';

/** The tables of BullMQ have a schema of their own, beside ours: it may be dropped while nothing runs, and comes again. */
const queueSchema = 'bullpen_queue';

/** A statement of BullMQ takes about 1 ms; a server that needs longer than this has frozen. */
const silentMs = 10_000;

type ListenClient = Awaited<ReturnType<PostgresConnection['getListenClient']>>;

/**
 * BullMQ's connection, made fit to be shared by all partitions of a process. Alone, each would open a pool and a
 * listening connection of its own: 60 of them for 12 partitions.
 */
class SharedConnection extends PostgresConnection {
  readonly #shared = new WeakMap<ListenClient, ListenClient>();

  /** The tables were looked at when the process started. BullMQ would remember for ever that the server was away just now. */
  override async waitUntilReady(): Promise<void> {}

  /** BullMQ then looks for jobs every 10 s also where it hears of none; it would be an hour. */
  override get hasListenClientKeepAlive(): boolean {
    return false;
  }

  /** Each partition says LISTEN here and listens: one statement after the other, and as many listeners as there are. */
  override async getListenClient(): Promise<ListenClient> {
    const client = await super.getListenClient();
    let shared = this.#shared.get(client);
    if (shared === undefined) this.#shared.set(client, (shared = forMany(client)));
    return shared;
  }
}

function forMany(client: ListenClient): ListenClient {
  const emitter = client as unknown as EventEmitter;
  emitter.setMaxListeners(0);
  let last: Promise<unknown> = Promise.resolve();
  return {
    query: (text: string, values?: readonly unknown[]) => {
      const answer = last.then(() => client.query(text, values));
      last = answer.catch(() => undefined);
      return answer;
    },
    on: emitter.on.bind(emitter),
    removeListener: emitter.removeListener.bind(emitter),
    removeAllListeners: emitter.removeAllListeners.bind(emitter),
  } as unknown as ListenClient;
}

/** A shared connection. Its listening client is no part of the pool. */
export function openPostgres(url: string): PostgresConnection {
  const connection = new SharedConnection(configOf(url, statementConnections));
  connection.setMaxListeners(0);
  return connection;
}

/** Makes or upgrades the tables. Whoever comes first does it under a lock; the others wait and find it done. */
export async function makeTables(url: string): Promise<void> {
  const connection = new PostgresConnection({ ...configOf(url, 1), migrate: true });
  connection.on('error', () => undefined);
  try {
    await connection.waitUntilReady();
  } finally {
    await connection.close();
  }
}

function configOf(databaseUrl: string, max: number): PostgresPoolConfig {
  const { url, ssl } = postgresPlace(databaseUrl);
  return {
    connectionString: url,
    ssl,
    schema: queueSchema,
    max,
    application_name: 'bullpen queue',
    // Also how long a statement may wait for one of the connections: on a busy machine they are all taken for seconds.
    connectionTimeoutMillis: 15_000,
    idleTimeoutMillis: 20_000,
    query_timeout: silentMs,
    // A wake-up that is lost in a server crash is found missing after 2 s, so no commit waits for the disk.
    options: '-c synchronous_commit=off -c jit=off',
  };
}
