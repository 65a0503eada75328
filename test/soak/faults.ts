import { setTimeout as sleep } from 'node:timers/promises';
import { type AppProcess, eventually, type House, type Proxy, type ServerName, type Window } from '@bullpen/testkit';
import { sql } from 'drizzle-orm';
import type { FaultKind, PlannedFault } from './plan.ts';

/** `to` is Infinity while it lasts. */
export interface FaultTime extends Window {
  kind: FaultKind;
  /** False: it met somebody who was away, or came or went meanwhile. */
  isWhole: boolean;
}

type Fault = (forMs: number, which: number, time: FaultTime) => Promise<unknown>;

/** Does what a plan says to a house with servers and proxies of its own. Whoever is ill already is left alone, and another one is taken. */
export function createFaults(house: House) {
  const windows: FaultTime[] = [];
  const ill = new Set<unknown>();

  /** Only one thing at a time happens to each. False: nobody is well. */
  async function to<Whom>(whoever: readonly Whom[], which: number, what: (whom: Whom) => Promise<unknown>) {
    const well = whoever.filter((each) => !ill.has(each));
    const whom = well[Math.floor(which * well.length)];
    if (whom === undefined) return false;
    ill.add(whom);
    await what(whom).finally(() => ill.delete(whom));
    return true;
  }

  const worker = (what: (worker: AppProcess, forMs: number) => Promise<unknown>): Fault => (forMs, which, time) =>
    to(house.workers, which, (whom) => {
      time.pid = whom.pid();
      return what(whom, forMs);
    }); // prettier-ignore
  const producer = (what: (producer: AppProcess, forMs: number) => Promise<unknown>): Fault => (forMs) =>
    to([house.producer], 0, (whom) => what(whom, forMs)); // prettier-ignore
  const server = (name: ServerName, what: (forMs: number) => Promise<unknown>): Fault => (forMs) =>
    to([name], 0, () => what(forMs)); // prettier-ignore
  const ended = (name: ServerName, signal: NodeJS.Signals): Fault =>
    server(name, async () => house.servers.back(name, await house.servers.end(name, signal)));
  const stopped = (name: ServerName): Fault =>
    server(name, async (forMs) => {
      const goOn = await house.servers.freeze(name);
      await sleep(forMs);
      goOn();
    });
  const way = (proxy: () => Proxy, what: (proxy: Proxy, forMs: number, which: number) => Promise<unknown>): Fault =>
    (forMs, which) => to([proxy()], 0, (whom) => what(whom, forMs, which)); // prettier-ignore

  const ways = <Name extends ServerName>(name: Name, proxy: () => Proxy) =>
    ({
      [`way to ${name}: hole`]: way(proxy, (whom, forMs, which) =>
        during(whom, { hole: (['both', 'up', 'down'] as const)[Math.floor(which * 3)]! }, forMs),
      ),
      [`way to ${name}: slow`]: way(proxy, (whom, forMs) => during(whom, { delayMs: 20, jitterMs: 40 }, forMs)),
      [`way to ${name}: reset`]: way(proxy, async (whom) => whom.reset()),
      [`way to ${name}: refused`]: way(proxy, (whom, forMs) => during(whom, { refuses: true }, forMs)),
    }) as Record<FaultKind & `way to ${Name}: ${string}`, Fault>;

  const faults: Record<FaultKind, Fault> = {
    'worker killed': worker(async (whom, forMs) => {
      await whom.end('SIGKILL');
      await sleep(forMs / 4);
      await startAgain(whom);
    }),
    'worker frozen': worker(freeze),
    'worker restarted': worker(restart),
    'worker joins and leaves': async (forMs: number) => {
      const newcomer = await house.addWorker();
      ill.add(newcomer);
      await sleep(forMs);
      await newcomer.end('SIGTERM');
      house.workers.splice(house.workers.indexOf(newcomer), 1);
      return true;
    },
    'producer killed': producer(async (whom, forMs) => {
      await whom.end('SIGKILL');
      await sleep(forMs / 4);
      await startAgain(whom);
    }),
    'producer frozen': producer(freeze),
    'producer restarted': producer(restart),
    'redis killed': ended('redis', 'SIGKILL'),
    'redis frozen': stopped('redis'),
    'redis emptied': server('redis', () => house.forgetJobs()),
    'postgres killed': ended('postgres', 'SIGKILL'),
    'postgres stopped fast': ended('postgres', 'SIGINT'),
    'postgres stopped at once': ended('postgres', 'SIGQUIT'),
    'postgres frozen': stopped('postgres'),
    'postgres sessions ended': server('postgres', async (forMs) => {
      for (const until = Date.now() + forMs; Date.now() < until; await sleep(50))
        await house.database.db.execute(sql`
          select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'bullpen%' and pid <> pg_backend_pid() order by random() limit 1`);
    }),
    ...ways('postgres', () => house.proxies.postgres),
    ...ways('redis', () => house.proxies.redis!),
  };

  return {
    /** Those that were done, each with its time. */
    windows,
    /** Resolves when it is over, whether it could be done or not. */
    async provoke({ kind, forMs, which }: PlannedFault): Promise<void> {
      const time: FaultTime = { kind, from: Date.now(), to: Infinity, isWhole: false };
      windows.push(time);
      // A server that is away already, or comes and goes meanwhile, is what this is about.
      const isDone = await faults[kind](forMs, which, time).then((done) => done !== false, () => null); // prettier-ignore
      time.to = Date.now();
      time.isWhole = isDone === true;
      if (isDone === false) windows.splice(windows.indexOf(time), 1);
    },
  };
}

async function during(proxy: Proxy, weather: Parameters<Proxy['set']>[0], forMs: number): Promise<void> {
  await proxy.set(weather);
  await sleep(forMs);
  await proxy.set({});
}

async function freeze(whom: AppProcess, forMs: number): Promise<void> {
  whom.signal('SIGSTOP');
  await sleep(forMs);
  whom.signal('SIGCONT');
}

async function restart(whom: AppProcess): Promise<void> {
  await whom.end('SIGTERM');
  await startAgain(whom);
}

/** It may meet a server that was just killed: its supervisor would start it again. */
const startAgain = (app: AppProcess): Promise<boolean> =>
  eventually(`${app.app} starts`, () => app.restart().then(() => true, () => false), 60_000); // prettier-ignore
