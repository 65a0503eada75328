import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

/** What scripts/build.mjs offers; the commands of package.json say where it is, since the bundle cannot hold it. */
export interface Builder {
  /** Answers the folder with one file an app. Errors have been printed, with their place, when it rejects. */
  build: (handlerFolders: readonly string[]) => Promise<string>;
  /** The files that a build is made of, each with a text that changes when it does. */
  look: (handlerFolders: readonly string[]) => Promise<ReadonlyMap<string, string>>;
}

/**
 * How often the files are looked at: 5 ms of work for 180 files. fs.watch would cost nothing, but a recursive one of Node
 * 20 on Linux hears no more of a file once an editor has replaced it, which is how most of them save.
 */
const lookEveryMs = 400;
/** A checkout or a formatter changes many files one after the other. */
const settleMs = 100;

/** Yields the names of the files that have changed, once they have stopped to. */
export async function* changesOf(
  look: () => Promise<ReadonlyMap<string, string>>,
  signal: AbortSignal,
): AsyncGenerator<string[]> {
  const pause = (ms: number): Promise<void> => delay(ms, undefined, { signal }).catch(() => {});
  let known = await look();
  while (!signal.aborted) {
    await pause(lookEveryMs);
    const before = known;
    for (let now = await look(); differences(known, now).length > 0; now = await look()) {
      known = now;
      await pause(settleMs);
    }
    const changed = differences(before, known);
    if (changed.length > 0 && !signal.aborted) yield changed;
  }
}

const differences = (before: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): string[] =>
  [...new Set([...before.keys(), ...now.keys()])].filter((file) => before.get(file) !== now.get(file));

/** Loads the handlers of a build as a worker would. Answers what is wrong with them, or null. */
export function handlerProblem(
  build: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | null> {
  const child = spawn(process.execPath, ['--enable-source-maps', `${build}/cli.mjs`, 'handlers', '--local', '--json'], {
    env: { ...env, BULLPEN_BUILD: build },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let words = '';
  child.stderr.on('data', (text) => (words += String(text)));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code === 0 ? null : words.trim()));
  });
}
