import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Weather } from './proxy.ts';

export interface PipeDeps {
  from: Socket;
  to: Socket;
  way: 'up' | 'down';
  weather: () => Weather;
  /** 0…1 */
  jitter: () => number;
  /** Looks at what came before anything else; true: it goes no further. */
  isTaken: (bytes: Buffer) => boolean;
  /** For good: what is on its way goes no further, and no end is passed on. */
  isForgotten: () => boolean;
  cutAfterBytes?: number | undefined;
  cut?: () => void;
}

/** A hole is looked at this often whether it is over. */
const lookMs = 10;
const heldMaxBytes = 1024 * 1024;

/** One direction of a connection: what comes is passed on in order, when the weather allows. */
export function createPipe(deps: PipeDeps): void {
  const { from, to, way, weather, jitter, isTaken, isForgotten, cutAfterBytes, cut } = deps;
  const held: { bytes: Buffer; at: number }[] = [];
  let heldBytes = 0;
  let passed = 0;
  let ended = false;
  let busy = false;

  const isHole = (): boolean => ['both', way].includes(weather().hole ?? '');

  async function pass({ bytes, at }: { bytes: Buffer; at: number }): Promise<void> {
    const { delayMs = 0, jitterMs = 0, bytesPerSecond } = weather();
    const due = at + delayMs + jitterMs * jitter() - performance.now();
    if (due > 0.5) await sleep(due);
    while (isHole()) await sleep(lookMs);
    if (bytesPerSecond === undefined) return write(bytes);
    const pieceBytes = Math.max(1, Math.ceil(bytesPerSecond / 50));
    for (let first = 0; first < bytes.length; first += pieceBytes) {
      const piece = bytes.subarray(first, first + pieceBytes);
      await sleep((1000 * piece.length) / bytesPerSecond);
      write(piece);
    }
  }

  function write(bytes: Buffer): void {
    if (isForgotten()) return;
    const left = (cutAfterBytes ?? Infinity) - passed;
    passed += bytes.length;
    to.write(bytes.subarray(0, left));
    if (bytes.length >= left) cut?.();
  }

  async function drain(): Promise<void> {
    if (busy) return;
    busy = true;
    for (let next = held.shift(); next !== undefined; next = held.shift()) {
      await pass(next);
      heldBytes -= next.bytes.length;
      if (heldBytes < heldMaxBytes && !isForgotten()) from.resume();
    }
    busy = false;
    if (ended && !isForgotten()) to.end();
  }

  from.on('data', (bytes: Buffer) => {
    if (isTaken(bytes)) return;
    held.push({ bytes, at: performance.now() });
    heldBytes += bytes.length;
    if (heldBytes >= heldMaxBytes) from.pause();
    void drain();
  });
  from.on('end', () => {
    ended = true;
    void drain();
  });
  from.resume();
}
