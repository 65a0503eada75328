import { parentPort, workerData } from 'node:worker_threads';
import { type Handler, loadHandlers, mergeReduced, summaryOf } from '@bullpen/handlers';
import { placeOf } from '@bullpen/runtime';
import type { Answer, Request } from './thread-link.ts';

/** Runs what handlers say under `reduce`: one request at a time, each answered by a text. */
const handlers = await loadHandlers(workerData as string[]);

function reduced({ handler: name, texts, summary }: Request): string {
  const handler = handlers.get(name)!;
  const text = mergeReduced(handler.reduce!, texts);
  if (summary === undefined) return text;
  return JSON.stringify(summaryOf(handler.reduce!, text, paramsOf(handler, summary.params))) ?? 'null';
}

const paramsOf = (handler: Handler, params: unknown): unknown =>
  handler.params ? handler.params.parse(params ?? undefined) : (params ?? undefined);

parentPort!.on('message', (request: Request) => {
  const { id } = request;
  let answer: Answer;
  try {
    answer = { id, text: reduced(request) };
  } catch (error) {
    answer = { id, error: messageOf(error), place: placeOf(error) };
  }
  parentPort!.postMessage(answer);
});
parentPort!.postMessage('ready');

/** Of whatever was thrown, also of what throws on every look. */
function messageOf(error: unknown): string {
  try {
    return (error instanceof Error ? error.message : String(error)).slice(0, 1000);
  } catch {
    return 'an error that cannot be read';
  }
}
