import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from './lifecycle.ts';
import type { Log } from './log.ts';

/** What is wrong with a server, a line each with the remedy. `away`: it may only not be there yet. */
export interface ServerCheck {
  problems: string[];
  away: boolean;
  /** What works, and is less than it should be. */
  warnings?: string[];
}

/** Servers that start beside us, or are started again, have this long. */
const patienceMs = 10_000;

/** Looks until no server is away, 10 s at most or `withinMs`. Throws a Refusal with all that is wrong. */
export async function awaitServers(
  checks: readonly (() => Promise<ServerCheck>)[],
  log: Log,
  withinMs = patienceMs,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (let look = 0; ; look += 1) {
    const found = await Promise.all(checks.map((check) => check()));
    const problems = found.flatMap((each) => each.problems);
    if (problems.length === 0) {
      for (const warning of found.flatMap((each) => each.warnings ?? [])) log.warn(warning);
      return;
    }
    const onlyAway = found.every((each) => each.away || each.problems.length === 0);
    if (!onlyAway || performance.now() > deadline) throw new Refusal(problems.join('\n'));
    if (look === 0) for (const problem of problems) log.warn(`${problem} (waiting up to ${withinMs / 1000} s)`);
    await sleep(500);
  }
}
