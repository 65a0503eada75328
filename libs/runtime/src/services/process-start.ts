import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * When the process with this pid started, in a form that only that very process has, or null when none runs.
 * A pid alone is no identity: after a reboot, or in a container, the same small numbers come back at once.
 */
export function processStart(pid: number): string | null {
  return process.platform === 'linux' ? linuxStart(pid) : psStart(pid);
}

export const isAlive = (pid: number, start: string): boolean => processStart(pid) === start;

/** The command line of a process, or '' when there is none or it may not be read. */
export function commandLine(pid: number): string {
  if (process.platform !== 'linux') return ps(pid, 'command=');
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

let bootId: string | undefined;

function linuxStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in brackets and may hold blanks and brackets itself. Field 3 is the state, 22 the start in ticks since boot.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, ticks] = [fields[0], fields[19]];
    // A killed process whose parent has not waited for it yet is a zombie: it holds nothing any more.
    if (state === 'Z' || state === 'X') return null;
    bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${bootId}:${ticks}`;
  } catch {
    return null;
  }
}

function psStart(pid: number): string | null {
  const line = ps(pid, 'stat=,lstart=');
  const [state, ...start] = line.split(/\s+/);
  return !state || state.startsWith('Z') ? null : start.join(' ');
}

const ps = (pid: number, columns: string): string =>
  spawnSync('ps', ['-o', columns, '-p', String(pid)], { encoding: 'utf8' }).stdout?.trim() ?? '';
