import type { Statements } from '@bullpen/db';
import { createLoop, type Log } from '@bullpen/runtime';

/** Whose items run under a permit. */
interface PermitUser {
  /** Items that it could start. */
  wanted: () => number;
  /** There may be room. True: one of its items looks. */
  poke: () => boolean;
  /** The place of the first of its items that wait in the fair order; Infinity: none does. */
  order: () => number;
}

export interface Permit {
  /** How many more items may go into handlers. */
  room: (now: number) => number;
  /** So many more are there, or fewer. */
  use: (by: number) => void;
  /** There is room for one more: the first in the fair order looks, of whatever batch it is. */
  poke: () => void;
  join: (user: PermitUser, used: number) => void;
  leave: (user: PermitUser, used: number) => void;
}

interface Kept extends Permit {
  users: Set<PermitUser>;
  used: number;
  /** What it may have at once. */
  may: number;
  /** Others count with what it has. */
  isHeld: boolean;
  /** It wants more than it may have. */
  isHungry: boolean;
  renewedAt: number;
}

/** While it wants more, while it has what it wants, between two words at least and where it has to give back, and while nobody wants anything. */
const everyMs = { hungry: 100, content: 500, least: 20, idle: 60_000 } as const;

/**
 * This worker's part of the concurrency of batches and handlers: tells what it wants and has of each, in one statement for all, and goes by
 * what it is answered. It says that it has all that it could start at once, as far as it may, and while the question is under way nothing is
 * added to that: others may be given the rest.
 */
export function createPermits(deps: {
  share: Statements['sharePermits'];
  workerId: string;
  leaseMs: number;
  log: Log;
}) {
  const permits = new Map<string, Kept>();
  let sentAt = -Infinity;

  async function shareOnce(): Promise<number> {
    const now = performance.now();
    if (now - sentAt < everyMs.least) return everyMs.least - (now - sentAt);
    const asking = [...permits].filter(([, permit]) => permit.isHeld || wantedOf(permit) > 0);
    if (asking.length === 0) return everyMs.idle;
    sentAt = now;
    const asked = asking.map(([name, permit]) => {
      const wanted = wantedOf(permit);
      permit.may = Math.max(permit.used, Math.min(wanted, mayOf(permit, now)));
      return { name, wanted, used: permit.may };
    });
    const shared = await deps.share({ worker: deps.workerId, leaseMs: deps.leaseMs, asked });
    let isHungry = false;
    let isLess = false;
    for (const [at, [name, permit]] of asking.entries()) {
      const { wanted, used } = asked[at]!;
      permit.may = shared[at]!.count ?? Infinity;
      permit.renewedAt = now;
      permit.isHeld = wanted > 0 && shared[at]!.count !== null;
      permit.isHungry = wanted > permit.may;
      if (!permit.isHeld && permit.users.size === 0) permits.delete(name);
      isHungry ||= permit.isHungry;
      isLess ||= permit.may < used;
      for (const user of waitingOf(permit)) user.poke();
    }
    if (isLess) return everyMs.least;
    return isHungry ? everyMs.hungry : everyMs.content;
  }
  const mayOf = ({ may, renewedAt }: Kept, now: number): number => (now - renewedAt < deps.leaseMs * 0.8 ? may : 0);
  const loop = createLoop({ name: 'permits', log: deps.log, once: shareOnce });

  function keep(): Kept {
    const permit: Kept = {
      users: new Set(),
      used: 0,
      may: 0,
      isHeld: false,
      isHungry: false,
      renewedAt: -Infinity,
      room(now): number {
        const room = mayOf(permit, now) - permit.used;
        if (room < 1 && !permit.isHungry) loop.nudge();
        return room;
      },
      use(by): void {
        permit.used += by;
        if (by < 0 && permit.used === 0 && wantedOf(permit) === 0) loop.nudge();
      },
      poke: (): void => void waitingOf(permit).some((user) => user.poke()),
      join(user, used): void {
        permit.users.add(user);
        permit.used += used;
      },
      leave(user, used): void {
        permit.users.delete(user);
        permit.used -= used;
        loop.nudge();
      },
    };
    return permit;
  }

  return {
    of(name: string): Permit {
      let permit = permits.get(name);
      if (permit === undefined) permits.set(name, (permit = keep()));
      return permit;
    },
    /** Something is wanted, or is not any more. */
    nudge: (): void => loop.nudge(),
    close: (): Promise<void> => loop.stop(),
  };
}

export type Permits = ReturnType<typeof createPermits>;

const wantedOf = ({ users, used }: Kept): number => [...users].reduce((sum, user) => sum + user.wanted(), used);

/** Those of whose items some wait, in the fair order. */
function waitingOf({ users }: Kept): PermitUser[] {
  const waiting: PermitUser[] = [];
  for (const user of users) if (user.order() < Infinity) waiting.push(user);
  return waiting.sort((a, b) => a.order() - b.order());
}
