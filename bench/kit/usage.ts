import { readdirSync, readFileSync } from 'node:fs';

/** What a process took between start and stop: cpu in s; and the largest resident memory of its life in MB. */
export interface Taken {
  cpuSeconds: number;
  rssMb: number;
}

export interface Watched {
  name: string;
  pid: number;
  /** Its children too: PostgreSQL has a process a connection. Their memory is mostly shared, so none is told. */
  tree?: boolean;
}

const ticksPerSecond = 100;
const sampleMs = 500;

/** Watches processes. Only where /proc is; elsewhere there are no figures. */
export function watchUsage(watched: readonly Watched[]) {
  const spans = new Map(watched.map(({ name }) => [name, new Map<number, { from: number; to: number }>()]));

  function sample(begins: boolean): void {
    for (const { name, pid, tree } of watched) {
      const known = spans.get(name)!;
      for (const each of tree ? [pid, ...childrenOf(pid)] : [pid]) {
        const now = statOf(each);
        if (now === null) continue;
        const span = known.get(each);
        if (span !== undefined) span.to = now.ticks;
        // A connection that came later began at nothing.
        else known.set(each, { from: begins ? now.ticks : 0, to: now.ticks });
      }
    }
  }

  sample(true);
  const timer = setInterval(sample, sampleMs, false);
  return {
    stop(): Record<string, Taken> {
      clearInterval(timer);
      sample(false);
      const takenBy = ({ name, pid, tree }: Watched): Taken => ({
        cpuSeconds: Math.round(secondsOf(spans.get(name)!) * 100) / 100,
        rssMb: tree ? 0 : peakMbOf(pid),
      });
      return Object.fromEntries(watched.map((each) => [each.name, takenBy(each)]));
    },
  };
}

const secondsOf = (spans: ReadonlyMap<number, { from: number; to: number }>): number =>
  [...spans.values()].reduce((sum, { from, to }) => sum + (to - from), 0) / ticksPerSecond;

function statOf(pid: number): { ticks: number; parent: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // After the name in brackets: state, parent, …; the 12th and the 13th are user and system time.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
  } catch {
    return null;
  }
}

/** 0 where the process is gone, or the system does not tell. */
export const parentOf = (pid: number): number => statOf(pid)?.parent ?? 0;

const peakMbOf = (pid: number): number => memoryMbOf(pid, 'VmHWM');

/** Resident memory now, in MB. */
export const rssMbOf = (pid: number): number => memoryMbOf(pid, 'VmRSS');

function memoryMbOf(pid: number, what: 'VmHWM' | 'VmRSS'): number {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    const [, kb = '0'] = new RegExp(`^${what}:\\s+(\\d+)`, 'm').exec(text) ?? [];
    return Math.round(Number(kb) / 1024);
  } catch {
    return 0;
  }
}

function childrenOf(parent: number): number[] {
  try {
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return pids.map(Number).filter((pid) => parentOf(pid) === parent);
  } catch {
    return [];
  }
}
