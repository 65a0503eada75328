import { startFleet, type Fleet, type FleetPlan } from './fleet.ts';

export interface ReloadingFleet extends Fleet {
  /**
   * Drains all processes and starts those of another build; the producer comes back on the same port. Answers whether
   * they got ready: if not, those of the build before run again.
   */
  replace(build: string): Promise<boolean>;
}

/** A fleet whose processes can be exchanged for those of another build. */
export function startReloadingFleet(plan: FleetPlan): ReloadingFleet {
  let env = plan.env;
  let current = startFleet(plan);
  /** The one before, while it drains. */
  let leaving: Fleet | null = null;
  let exchanging: Promise<unknown> = Promise.resolve();
  let stopped = false;
  const { url, ready } = current;
  let end: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => {
    end = resolve;
  });
  /** Only the end of processes that nobody exchanges counts. */
  const watch = (fleet: Fleet): void => void fleet.ended.then((code) => fleet === current && end(code));
  watch(current);

  async function exchange(next: FleetPlan['env']): Promise<boolean> {
    leaving = current;
    current = idle;
    await leaving.stop();
    leaving = null;
    if (stopped) return false;
    const fleet = startFleet({ ...plan, env: next });
    current = fleet;
    const isReady = await Promise.race([fleet.ready.then(() => true), fleet.ended.then(() => false)]);
    if (isReady) watch(fleet);
    return isReady;
  }

  async function replace(build: string): Promise<boolean> {
    const { port } = new URL(await url);
    const before = { ...env, PORT: port };
    const next = { ...before, BULLPEN_BUILD: build };
    if (await exchange(next)) {
      env = next;
      return true;
    }
    if (!stopped) await exchange(before);
    return false;
  }

  return {
    url,
    ready,
    ended,
    replace(build) {
      const replaced = replace(build);
      exchanging = replaced;
      return replaced;
    },
    async stop() {
      stopped = true;
      await Promise.all([current.stop(), leaving?.stop(), exchanging]);
      end(0);
    },
    kill() {
      current.kill();
      leaving?.kill();
    },
  };
}

/** Between two builds. */
const idle: Fleet = {
  url: new Promise(() => {}),
  ready: new Promise(() => {}),
  ended: new Promise(() => {}),
  stop: async () => {},
  kill: () => {},
};
