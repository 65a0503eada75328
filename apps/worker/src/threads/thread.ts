import { workerData } from 'node:worker_threads';
import type { BatchPlan } from '@bullpen/db';
import { createCaches, type Handler, loadHandlers } from '@bullpen/handlers';
import { createLog } from '@bullpen/runtime';
import { createPlans, type Plan } from '../plans.ts';
import { runItems } from '../run-items.ts';
import { createSlots } from '../slots.ts';
import { createTimeouts } from '../timeouts.ts';
import { cells, createMarks, viewsOf } from '../watchdog/marks.ts';
import { type GateAnswer, knownMax, type Order, readOrder, writeAnswer } from './parcels.ts';
import { createThreadGate } from './thread-gate.ts';
import type { ThreadData } from './thread-link.ts';

/**
 * A thread that runs chunks of one handler, one after the other, by the code that runs them on the main loop, with slots,
 * timeouts, plans and caches of its own. The main thread sees by the marks which call it is in, and says in a cell of them
 * when no more items are to be started.
 */
const data = workerData as ThreadData;
const { port } = data;
const turnEveryMs = 100;

const marks = createMarks(data.shared);
const { words } = viewsOf(data.shared);
const slots = createSlots(data.concurrency);
const timeouts = createTimeouts();
const figures = { workMs: 0, paramsLoads: 0, paramsHits: 0 };
const known = new Map<number, BatchPlan>();
const { gate, hear } = createThreadGate(port, () => words[cells.limited] === 1);
const plans = createPlans({
  statements: { plan: (no) => Promise.resolve(known.get(no) ?? null) },
  handlers: new Map([[data.handler, await loadOwn()]]),
  caches: createCaches(),
  timeouts,
  marks,
  log: createLog({ name: data.name, level: data.logLevel, pretty: data.pretty }),
  figures,
  gateOf: () => gate,
});
const { sliceMs, outputMaxBytes, sliceMaxBytes } = data;
const mayStart = (): boolean => Atomics.load(words, cells.stop) === 0;
const deps = { slots, figures, timeouts, marks, sliceMs, outputMaxBytes, sliceMaxBytes, mayStart };
let current: Promise<Plan | null> | null = null;

port.on('message', (message: Order | GateAnswer | 'cancel') => {
  if (message === 'cancel') void current?.then((plan) => plan?.cancel());
  else if ('id' in message) hear(message);
  else void run(message);
});
setInterval(() => {
  marks.turn();
  slots.dismiss();
}, turnEveryMs).unref();
port.postMessage('ready');

async function run(order: Order): Promise<void> {
  if (order.row !== null) learn(order.row);
  const held = readOrder(order);
  figures.workMs = 0;
  current = plans.open(held.batch, held.no);
  const outcomes = await runItems(held, (await current)!, 0, deps);
  current = null;
  const answer = writeAnswer(outcomes, figures.workMs);
  port.postMessage(answer, [answer.buffer]);
}

function learn(row: BatchPlan): void {
  if (known.size >= knownMax) known.clear();
  known.set(row.no, row);
  plans.forget(row.no);
}

/** The handler as one that runs where it is. */
async function loadOwn(): Promise<Handler> {
  const handler = (await loadHandlers(data.folders)).get(data.handler);
  if (handler === undefined)
    throw new Error(`the handler ${data.handler} is not in ${data.folders.join(', ')} any more`);
  return { ...handler, threads: undefined };
}
