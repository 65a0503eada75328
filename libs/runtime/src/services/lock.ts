import { createHash, randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { processStart } from './process-start.ts';

export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes the lock that lives in `folder`, or answers with the pid of the live process that holds it.
 *
 * Node has no flock, and the usual "remove the stale file, then create mine" lets two racing starts remove each
 * other's fresh file. Here nobody ever reuses a name: each contender creates a ticket of its own, and only then looks around.
 * Of two contenders the one that created its ticket later sees the other, so two can never both find themselves alone. The smallest
 * ticket waits, the others step back, so one of them gets on. A ticket says pid and start time, so that a dead process's can be removed by anyone.
 */
export async function takeLock(folder: string): Promise<Lock | { ownerPid: number }> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const ticket = `${process.pid}-${fingerprint(process.pid)}-${randomBytes(4).toString('hex')}`;
  const [wanted, held] = [join(folder, `want-${ticket}`), join(folder, `held-${ticket}`)];
  const release = async () => {
    await Promise.all([rm(wanted, { force: true }), rm(held, { force: true })]);
  };
  for (;;) {
    await (await open(wanted, 'wx', 0o600)).close();
    const verdict = await waitForTurn(folder, ticket);
    if (verdict === 'mine') {
      // The first name stays: a renamed entry may be missed by someone who is just listing the folder.
      await link(wanted, held);
      return { release };
    }
    await rm(wanted, { force: true });
    if (verdict !== 'step back') return { ownerPid: verdict };
    await delay(10 + Math.random() * 20);
  }
}

/** The pid of the live holder, without taking part. */
export async function lockHolder(folder: string): Promise<number | null> {
  return (await liveTickets(folder)).find((other) => other.held)?.pid ?? null;
}

async function waitForTurn(folder: string, mine: string): Promise<'mine' | 'step back' | number> {
  for (;;) {
    const others = (await liveTickets(folder)).filter((other) => other.ticket !== mine);
    const holder = others.find((other) => other.held);
    if (holder) return holder.pid;
    if (others.length === 0) return 'mine';
    if (others.some((other) => other.ticket < mine)) return 'step back';
    await delay(10);
  }
}

async function liveTickets(folder: string): Promise<{ ticket: string; pid: number; held: boolean }[]> {
  const names = await readdir(folder).catch(() => []);
  const tickets = [];
  for (const name of names) {
    const match = /^(want|held)-((\d+)-([0-9a-f]+)-[0-9a-f]+)$/.exec(name);
    if (!match) continue;
    const [, kind, ticket, pid, start] = match;
    if (fingerprint(Number(pid)) === start) tickets.push({ ticket: ticket!, pid: Number(pid), held: kind === 'held' });
    else await rm(join(folder, name), { force: true });
  }
  return tickets;
}

/** The start time in a form that fits into a file name; '0' for a process that is gone. */
function fingerprint(pid: number): string {
  const start = processStart(pid);
  return start === null ? '0' : createHash('sha256').update(start).digest('hex').slice(0, 16);
}
