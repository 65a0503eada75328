import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import express from 'express';
import { createLimit } from './limit.mjs';
import { createDraw, createStore } from './store.mjs';

const defaults = { rate: 50, latencyMs: 200, errors: 0, seed: 1 };

/**
 * An API as an import of users meets them: slow, strictly limited, and now and then out of order. It serves
 *
 *   GET  /organisations?limit=N       the first N of them: [{id, name}]
 *   GET  /organisations/:name         the one of this name, which is made if it is not there: {id, name}
 *   POST /users                       {email, name} → {id}; with an `Idempotency-Key` it makes the same one only once
 *   POST /organisations/:id/members   {userId} → {}; twice is as good as once
 *   GET  /register                    what was made and how it was called; takes no part in the limit
 *
 * It takes at most `rate` calls in any second, and answers the others at once with 429 and `Retry-After`. Each call takes
 * `latencyMs`; a share `errors` of them ends with 500, half of these after the effect, as when an answer is lost. An email at
 * blocked.example is refused with 422 and the code `email-blocked`. The same email may be made again: the register counts it.
 */
export function createApi(options = {}) {
  const { rate, latencyMs, errors, seed } = { ...defaults, ...options };
  const limit = createLimit(rate);
  const store = createStore();
  const draw = createDraw(seed);
  const app = express();
  app.get('/register', (_, res) => void res.json({ ...store.facts(), ...limit.facts() }));
  app.use(express.json());
  app.use((_, res, next) => {
    const waitMs = limit.enter(performance.now());
    if (waitMs === 0) return void setTimeout(next, latencyMs);
    res.setHeader('Retry-After', String(Math.ceil(waitMs / 1000)));
    res.status(429).json({ code: 'too-many-calls', message: `at most ${rate} calls a second` });
  });
  // What is out of order fails before the effect, or after it: then the answer is replaced.
  const route = (act) => (req, res) => {
    const fate = draw();
    if (fate < errors / 2) return void res.status(500).json({ code: 'broken', message: 'out of order' });
    const { status, body } = act(req);
    if (fate < errors) return void res.status(500).json({ code: 'broken', message: 'out of order, after the effect' });
    res.status(status).json(body);
  };
  app.get('/organisations', route(({ query }) => store.list(Number(query.limit ?? 100))));
  app.get('/organisations/:name', route(({ params }) => store.organisation(params.name)));
  app.post('/users', route(({ body, headers }) => store.createUser(body, headers['idempotency-key'])));
  app.post('/organisations/:id/members', route(({ params, body }) => store.join(params.id, body)));
  return {
    register: () => ({ ...store.facts(), ...limit.facts() }),
    /** When it was called, in ms. */
    calls: limit.calls,
    /** Serves on this port of 127.0.0.1, 0: any. Answers {url, close}. */
    listen: (port = 0) =>
      new Promise((resolve, reject) => {
        const server = app.listen(port, '127.0.0.1', (error) => {
          if (error) return void reject(error);
          const close = () =>
            new Promise((closed) => {
              server.close(closed);
              server.closeAllConnections();
            });
          resolve({ url: `http://127.0.0.1:${server.address().port}`, close });
        });
      }),
  };
}

const usage = `Usage: node examples/import-user/api.mjs [options]

An API of users and organisations to try import-user with: slow, limited, and now and then out of order.
GET /register says what was made and how it was called.

Options:
  --port N       where it listens on 127.0.0.1 (default 4000)
  --rate N       calls that it takes in any second (default ${defaults.rate})
  --latency N    ms that each call takes (default ${defaults.latencyMs})
  --errors N     share of calls that end with 500, half of them after the effect (default ${defaults.errors})
  --seed N       which ones: the same with the same seed (default ${defaults.seed})

Examples:
  node examples/import-user/api.mjs
  node examples/import-user/api.mjs --port 4001 --rate 100 --latency 20 --errors 0.05
  curl http://127.0.0.1:4000/register`;

const say = (line) => void process.stdout.write(`${line}\n`);

async function main(args) {
  const number = { type: 'string' };
  const { values } = parseArgs({
    args,
    options: { port: number, rate: number, latency: number, errors: number, seed: number, help: { type: 'boolean' } },
  });
  if (values.help) return say(usage);
  const read = (name, otherwise, most) => {
    const value = Number(values[name] ?? otherwise);
    if (!(value >= 0 && value <= most)) throw new Error(`--${name} must be a number from 0 to ${most}`);
    return value;
  };
  const rate = Math.max(1, Math.floor(read('rate', defaults.rate, 1_000_000)));
  const latencyMs = read('latency', defaults.latencyMs, 60_000);
  const api = createApi({ rate, latencyMs, errors: read('errors', 0, 1), seed: read('seed', 1, 2 ** 32 - 1) });
  const { url } = await api.listen(read('port', 4000, 65_535));
  say(`Users and organisations on ${url}: ${rate} calls a second, ${latencyMs} ms each. GET ${url}/register. Ctrl-C ends it.`);
}

const isCommand = process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (isCommand)
  await main(process.argv.slice(2)).catch((error) => {
    const isTaken = error.code === 'EADDRINUSE';
    const why = isTaken ? 'The port is taken: give another one with --port' : error.message;
    process.stderr.write(`${why}\nSee: node examples/import-user/api.mjs --help\n`);
    process.exitCode = isTaken ? 1 : 2;
  });
