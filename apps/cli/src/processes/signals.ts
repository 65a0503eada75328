/** npm and a terminal may pass on one key press twice, within this time. */
const SAME_PRESS_MS = 100;

export interface StopRequest {
  /** Resolves with the first SIGINT, SIGTERM or SIGHUP. */
  asked: Promise<NodeJS.Signals>;
  /** Whether it has come. */
  isAsked(): boolean;
  /** Listens no more: from then on a signal ends the process as usual. */
  dispose(): void;
}

/** Listens for the wish to stop. A second one calls `endNow`, which is to end the process at once. */
export function listenForStop(endNow: (signal: NodeJS.Signals) => void): StopRequest {
  let firstAt: number | null = null;
  let resolve: (signal: NodeJS.Signals) => void = () => {};
  const asked = new Promise<NodeJS.Signals>((onResolve) => {
    resolve = onResolve;
  });
  const listener = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    if (firstAt === null) {
      firstAt = now;
      resolve(signal);
    } else if (now - firstAt > SAME_PRESS_MS) {
      endNow(signal);
    }
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, listener);
  const dispose = (): void => {
    for (const signal of signals) process.off(signal, listener);
  };
  return { asked, isAsked: () => firstAt !== null, dispose };
}
