import { createServer } from 'node:net';
import { readRunFile } from '@bullpen/runtime';
import { Failure, exitCode } from '../failure.ts';

/**
 * Refuses a HOST:PORT that cannot be listened on, before anything is started for nothing.
 * `command` is what to type again, such as `npm start`.
 */
export async function requireFreePort(
  place: { host: string; port: number; dataDir: string },
  command: string,
): Promise<void> {
  const { host, port, dataDir } = place;
  const problem = await listenProblem(host, port);
  if (problem === null) return;
  if (problem.code === 'EADDRINUSE') {
    const run = await readRunFile(dataDir);
    const ours = typeof run?.['url'] === 'string' && new URL(run['url']).port === String(port) ? run['url'] : null;
    throw new Failure(
      ours === null ? takenText(port, command) : runsText(dataDir, run?.pid, ours),
      exitCode.configuration,
    );
  }
  const remedy =
    problem.code === 'EACCES'
      ? `set PORT to 1024 or more, e.g. PORT=3000 ${command}`
      : 'set HOST to an address of this machine, e.g. HOST=127.0.0.1';
  throw new Failure(
    `${host}:${port} cannot be listened on (${problem.code ?? problem.message}): ${remedy}`,
    exitCode.configuration,
  );
}

/** The same for WORKER_PORT: each of the workers takes the next port. */
export async function requireFreeWorkerPorts(
  place: { host: string; workerPort: number; workers: number },
  command: string,
): Promise<void> {
  const { host, workerPort, workers } = place;
  if (workerPort === 0) return;
  const last = workerPort + workers - 1;
  if (last > 65_535) {
    const text = `${workers} workers would take the ports ${workerPort} to ${last}, and 65535 is the last: lower WORKER_PORT`;
    throw new Failure(text, exitCode.configuration);
  }
  for (let port = workerPort; port <= last; port += 1) {
    const problem = await listenProblem(host, port);
    if (problem === null) continue;
    const taken = `Port ${port} is taken (${problem.code ?? problem.message})`;
    const other = last < 65_535 ? last + 1 : 9000;
    throw new Failure(`${taken}: set WORKER_PORT, e.g. WORKER_PORT=${other} ${command}`, exitCode.configuration);
  }
}

const takenText = (port: number, command: string): string =>
  `Port ${port} is taken: set PORT, e.g. PORT=${port < 65_535 ? port + 1 : 3000} ${command}`;

const runsText = (dataDir: string, pid: number | undefined, url: string): string =>
  `Bullpen already runs on ${dataDir} (pid ${pid}): ${url}. Stop it, or set DATA_DIR and PORT for a second one.`;

const listenProblem = (host: string, port: number): Promise<NodeJS.ErrnoException | null> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
