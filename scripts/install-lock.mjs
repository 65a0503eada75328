import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Runs `work` while no other process on this machine does so with the same folder. Each contender writes a ticket of its own and only
 * then looks around: with an older ticket there, it waits. Nobody removes a live process's file, so two starts cannot mislead each other
 * as they can with one shared lock file. `work` is given a function that adds a ticket for a child: should we be killed, its work still counts.
 */
export async function withLock(folder, work) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const tickets = [await queueUp(folder)];
  const leave = () => tickets.forEach((ticket) => rmSync(join(folder, ticket), { force: true }));
  const alsoHeldBy = (pid) => {
    const ticket = ticketOf(pid);
    tickets.push(ticket);
    writeFileSync(join(folder, ticket), '');
  };
  process.once('exit', leave);
  try {
    return await work(alsoHeldBy);
  } finally {
    leave();
    process.off('exit', leave);
  }
}

/** Two who come at the same time both step back and try again a little later; one who waits keeps no ticket. */
async function queueUp(folder) {
  const ticket = ticketOf(process.pid);
  for (let told = false; ;) {
    writeFileSync(join(folder, ticket), '');
    if (!othersAlive(folder, ticket)) return ticket;
    rmSync(join(folder, ticket), { force: true });
    while (othersAlive(folder, ticket)) {
      if (!told) console.error('Another run installs packages here; waiting for it…');
      told = true;
      await delay(100);
    }
    await delay(Math.random() * 100);
  }
}

const ticketOf = (pid) => `${pid}-${startOf(pid)}`;

function othersAlive(folder, mine) {
  return readdirSync(folder).some((name) => {
    const [pid, start] = name.split('-');
    if (name === mine) return false;
    if (startOf(pid) === start) return true;
    rmSync(join(folder, name), { force: true });
    return false;
  });
}

/** Tells a process from a later one with the same pid: on Linux by its start, in ticks since boot. '' when there is none. */
function startOf(pid) {
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if (error.code !== 'EPERM') return '';
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return 'alive';
  }
}
