import type { MessagePort } from 'node:worker_threads';
import { type Gate, openGate } from '../limits/gate.ts';
import type { GateAnswer, GateOrder } from './parcels.ts';

/**
 * The gate of all batches in a thread. What a thread gets may start at once, the main thread has seen to that; what its handlers ask for
 * by `ctx.limit`, and that all are to wait, it passes on.
 */
export function createThreadGate(port: MessagePort, isLimited: () => boolean) {
  const waiting = new Map<number, (answer: GateAnswer) => void>();
  let ids = 0;
  const post = (order: GateOrder): void => port.postMessage(order);

  async function further(n: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const id = (ids += 1);
    const { error } = await new Promise<GateAnswer>((resolve, reject) => {
      waiting.set(id, resolve);
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      post({ further: n, id });
    }).finally(() => waiting.delete(id));
    if (error !== undefined) throw new Error(error);
  }

  const gate: Gate = {
    ...openGate,
    get limited(): boolean {
      return isLimited();
    },
    further,
    pauseAll: (pauseMs) => post({ pauseMs }),
  };
  return { gate, hear: (answer: GateAnswer): void => waiting.get(answer.id)?.(answer) };
}
