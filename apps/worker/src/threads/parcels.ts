import type { BatchPlan } from '@bullpen/db';
import type { Held } from '../claims.ts';
import type { Outcomes } from '../outcomes.ts';

/**
 * What goes to a thread and comes back, one message a chunk each way. The texts of the items travel as UTF-8 in one buffer
 * that changes hands instead of being copied; what stands beside it is small.
 */
export interface Order {
  held: Omit<Held, 'inputs'>;
  inputs: readonly { first: number; bytes: number }[];
  /** The texts of `inputs`, one after the other. */
  buffer: ArrayBuffer;
  /** The batch, where the thread does not know it yet. */
  row: BatchPlan | null;
}

/** What a thread asks of the gate of its batch: slots for a call inside a handler, and that all wait. */
export type GateOrder = { further: number; id: number } | { pauseMs: number };
/** The slots are there; or why not. */
export interface GateAnswer {
  id: number;
  error?: string;
}

/** Batches that a thread knows at most; at the next one both sides forget them all. */
export const knownMax = 100;

export interface Answer extends Pick<Outcomes, 'errors' | 'retries' | 'apart' | 'waitMs'> {
  /** A byte an item says what has become of it; the texts of the outputs follow, a line each. */
  buffer: ArrayBuffer;
  size: number;
  workMs: number;
}

export function writeOrder({ inputs, ...held }: Held, row: BatchPlan | null): Order {
  const sizes = inputs.map(({ first, items }) => ({ first, bytes: Buffer.byteLength(items) }));
  const bytes = Buffer.allocUnsafeSlow(sizes.reduce((sum, each) => sum + each.bytes, 0));
  let end = 0;
  for (const { items } of inputs) end += bytes.write(items, end);
  return { held, inputs: sizes, buffer: bytes.buffer, row };
}

export function readOrder({ held, inputs, buffer }: Order): Held {
  let end = 0;
  return {
    ...held,
    inputs: inputs.map(({ first, bytes }) => {
      const items = Buffer.from(buffer, end, bytes).toString();
      end += bytes;
      return { first, items };
    }),
  };
}

export function writeAnswer({ state, texts, ...rest }: Outcomes, workMs: number): Answer {
  const outputs = texts.join('\n');
  const bytes = Buffer.allocUnsafeSlow(state.length + Buffer.byteLength(outputs));
  bytes.set(state);
  bytes.write(outputs, state.length);
  return { ...rest, buffer: bytes.buffer, size: state.length, workMs };
}

export function readAnswer({ buffer, size, errors, retries, apart, waitMs }: Answer): Outcomes {
  const state = new Uint8Array(buffer, 0, size);
  const outputs = Buffer.from(buffer, size).toString();
  return { state, texts: outputs === '' ? [] : outputs.split('\n'), errors, retries, apart, waitMs };
}
