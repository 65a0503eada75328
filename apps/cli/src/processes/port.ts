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
