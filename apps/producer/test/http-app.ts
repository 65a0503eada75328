import { randomUUID } from 'node:crypto';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createAccess } from '@bullpen/access';
import { createClient } from '@bullpen/api';
import { defineHandler, type Handler } from '@bullpen/handlers';
import { createMetrics } from '@bullpen/metrics';
import { createLog, readSettings } from '@bullpen/runtime';
import { createDatabase, type TestDatabase, texts } from '@bullpen/testkit';
import { z } from 'zod';
import { createApp, type HttpDeps } from '../src/http/app.ts';
import { tuneServer } from '../src/http/server.ts';
import { createClean } from '../src/publish/clean.ts';
import { createUploads, type Uploads } from '../src/intake/uploads.ts';
import { createReducer, type Reducer } from '../src/reduce/reducer.ts';
import { whyNotSo } from './conforms.ts';

const facts = {
  chunksInFlight: 1,
  chunksMax: 2,
  itemsDone: 2,
  itemsPerSecond: 3,
  chunksPerSecond: 4,
  turnaroundMs: 5,
  roundTripMs: { redis: 0.1, postgres: 0.2 },
};

const handlers: Handler[] = [
  defineHandler({ name: 'echo', description: 'Its input', run: (input) => input }),
  defineHandler({
    name: 'add',
    description: 'Adds',
    input: z.object({ a: z.number(), b: z.number().default(1) }),
    run: () => 0,
  }) as Handler,
  defineHandler({
    name: 'sleep',
    description: 'Waits',
    params: z.object({ ms: z.number().min(0) }),
    run: () => 0,
    chunkSize: 7,
  }) as Handler,
];

/** What the handlers of the test kit reduce, in the thread that the producer uses. */
export const openReducer = (limitMs = 10_000, keepMs?: number): Reducer =>
  createReducer({
    folders: ['libs/testkit/handlers'],
    limitMs,
    keepMs,
    file: pathToFileURL(join(process.env['BULLPEN_BUILD']!, 'reducer.mjs')),
  });

export interface TestApp {
  url: string;
  client: ReturnType<typeof createClient>;
  database: TestDatabase;
  uploads: Uploads;
  /** A round of the clean-up; answers after how many ms to run it again. */
  clean: () => Promise<number>;
  accepted: () => number;
  express: ReturnType<typeof createApp>;
  close: () => Promise<void>;
}

/** The app over a database of its own, listening on a free port, with 4 partitions. */
export async function openApp(
  change: Omit<Partial<HttpDeps>, 'settings'> & { settings?: Partial<HttpDeps['settings']> } = {},
): Promise<TestApp> {
  const database = await createDatabase({ partitions: 4 });
  const reducer = openReducer();
  let accepted = 0;
  const settings = { ...readSettings({}), ...change.settings };
  const uploads = createUploads({ statements: change.statements ?? database.statements, settings });
  const app = createApp({
    statements: database.statements,
    uploads,
    admission: { admit: () => undefined, took: () => undefined },
    handlers: new Map(handlers.map((handler) => [handler.name, handler])),
    installation: database.installation,
    log: createLog({ name: 'test', level: 'silent', pretty: false }),
    queues: [],
    onAccepted: () => (accepted += 1),
    onDeleted: () => undefined,
    metrics: createMetrics(),
    readiness: () => Promise.resolve([]),
    reducer,
    access: createAccess({ statements: database.statements, hosts: settings.allowedHosts ?? null }),
    ...change,
    settings,
  });
  const server = tuneServer(createServer(app));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    client: createClient({ url }),
    database,
    uploads,
    clean: createClean({
      statements: database.statements,
      settings,
      log: createLog({ name: 'test', level: 'silent', pretty: false }),
    }),
    accepted: () => accepted,
    express: app,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await reducer.close();
      await database.drop();
    },
  };
}

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  body: any; // oxlint-disable-line typescript/no-explicit-any
}

/** A request in which everything can be wrong: fetch would put it right. */
export function ask(
  app: TestApp,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(app.url);
  return new Promise((resolve, reject) => {
    const req = httpRequest(
      { hostname, port, path, method: options.method ?? 'GET', headers: options.headers, agent: false },
      (res) => {
        const parts: Buffer[] = [];
        res.on('data', (part: Buffer) => parts.push(part));
        res.on('error', reject);
        res.on('end', () => {
          const text = Buffer.concat(parts).toString();
          const type = res.headers['content-type'] ?? '';
          const isJson = /[/+]json(;|$)/.test(type) && text !== '';
          // Whatever a test asks for: what is answered has to be what the document says.
          const fault = whyNotSo(options.method ?? 'GET', path, { status: res.statusCode!, type, text });
          if (fault !== null) return reject(new Error(fault));
          resolve({ status: res.statusCode!, headers: res.headers, text, body: isJson ? JSON.parse(text) : undefined });
        });
      },
    );
    req.on('error', reject);
    req.end(options.body);
  });
}

export const post = (
  app: TestApp,
  body: unknown,
  headers: Record<string, string> = {},
  path = '/v1/batches',
): Promise<Answer> =>
  ask(app, path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  });

/** Does up to `chunks` chunks of what waits, as a worker would: item i answers {"i":i}, those of `fail` fail. Answers the items done. */
export async function work(
  { statements }: TestDatabase,
  options: { chunks?: number; fail?: ReadonlySet<number>; acknowledge?: boolean; hold?: boolean } = {},
): Promise<number> {
  const worker = randomUUID();
  await statements.register({
    id: worker,
    name: 'tester',
    host: 'here',
    pid: 1,
    handlers: ['echo', 'add', 'sleep', 'reducing'],
    concurrency: 8,
    facts,
  });
  await statements.own({ worker, leaseMs: 5000, releasing: [] });
  const slots = Array.from({ length: options.chunks ?? 1000 }, (_, i) => i % 4);
  const marked = await statements.mark({
    handlers: ['echo', 'add', 'sleep', 'reducing'],
    slots,
    itemsMax: 1e9,
  });
  const claim = randomUUID();
  const claimed = await statements.claim({
    nos: marked.map(({ no }) => no),
    claim,
    worker,
    handlers: ['echo', 'add', 'sleep', 'reducing'],
  });
  if (options.hold || claimed.length === 0) return 0;
  let items = 0;
  await statements.flush(
    claimed.map(({ no, first, size, picks }) => {
      items += size;
      const all = picks ?? Array.from({ length: size }, (_, i) => first + i);
      const failed = all.filter((index) => options.fail?.has(index));
      const good = all.filter((index) => !options.fail?.has(index));
      return {
        no,
        claim,
        first,
        succeeded: good.length,
        outputs: options.acknowledge ? '' : texts(good.map((i) => ({ i }))),
        indexes: options.acknowledge ? [] : good,
        failures: failed.map((index) => ({ index, error: { code: 'bad', message: 'as asked' } })),
        rests: [],
      };
    }),
  );
  await statements.leave(worker);
  return items;
}
