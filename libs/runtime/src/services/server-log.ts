import { open, readFile, rename, stat } from 'node:fs/promises';

const LOG_MAX_BYTES = 10 * 1024 * 1024;

export interface ServerLog {
  fd: number;
  /** What was written since the last call of `mark`. */
  sinceMark(): Promise<string>;
  mark(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a server's log for appending. One of more than 10 MB is put aside first, as `<path>.1`, so that two such files are the most there is. */
export async function openServerLog(path: string): Promise<ServerLog> {
  const size = async () => (await stat(path).catch(() => null))?.size ?? 0;
  if ((await size()) > LOG_MAX_BYTES) await rename(path, `${path}.1`);
  const file = await open(path, 'a', 0o600);
  let marked = await size();
  return {
    fd: file.fd,
    mark: async () => {
      marked = await size();
    },
    sinceMark: async () => (await readFile(path)).subarray(marked).toString(),
    close: () => file.close(),
  };
}
