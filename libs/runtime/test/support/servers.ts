import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Services } from '../../src/services/index.ts';

/** A folder for data with a blank in its name, and its removal. Others may pass through its parent. */
export async function dataFolder(): Promise<{ dataDir: string; parent: string; remove: () => Promise<void> }> {
  const parent = await mkdtemp(join(tmpdir(), 'bullpen-services-'));
  await chmod(parent, 0o711);
  return { dataDir: join(parent, 'my data'), parent, remove: () => rm(parent, { recursive: true, force: true }) };
}

/** Another process that owns the servers on `dataDir`. */
export function forkOwner(dataDir: string, env: NodeJS.ProcessEnv = process.env): ChildProcess {
  const entry = new URL('owner.ts', import.meta.url);
  return fork(entry, [dataDir], { execArgv: ['--import', 'tsx'], env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

export async function servicesOf(owner: ChildProcess): Promise<Services> {
  const [message] = (await once(owner, 'message')) as [{ services: Services }];
  return message.services;
}

export async function killHard(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** PATH with programs of these names in front that only fail. */
export async function pathWithout(parent: string, ...names: string[]): Promise<NodeJS.ProcessEnv> {
  for (const name of names) await writeFile(join(parent, name), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  return { ...process.env, PATH: `${parent}${delimiter}${process.env.PATH}` };
}

/** The processes that work in `dataDir`: every server of ours makes its data folder its working directory. */
export async function processesIn(dataDir: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const folders = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => '')));
  return pids.filter((_, at) => folders[at]?.startsWith(dataDir)).map(Number);
}

export const postmasterPid = async (dataDir: string): Promise<number> =>
  Number.parseInt(await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8'), 10);

/** Sends inline commands to Redis, the login first, and resolves with all that it answers. */
export async function redis(url: string, ...commands: string[]): Promise<string> {
  const { hostname, port, password } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.end([`AUTH ${password}`, ...commands, 'QUIT', ''].join('\r\n'));
  let answer = '';
  for await (const bytes of socket) answer += String(bytes);
  return answer;
}
