import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const file = fileURLToPath(new URL('client.mjs', import.meta.url));

async function ask<Answer>(args: readonly (string | number)[], signal?: AbortSignal): Promise<Answer> {
  const options = { maxBuffer: 2 ** 28, ...(signal && { signal }) };
  const { stdout } = await promisify(execFile)(process.execPath, [file, ...args.map(String)], options);
  return JSON.parse(stdout) as Answer;
}

/** Clients in processes of their own, so that what they take is not the service's. */
export const upload = (url: string, lines: number): Promise<{ ms: number; bytes: number; id: string }> =>
  ask(['upload', url, lines]);

/** All of it, or until the signal ends it. */
export const download = (
  url: string,
  mbPerSecond: number,
  signal?: AbortSignal,
): Promise<{ ms: number; bytes: number }> => ask(['download', url, mbPerSecond], signal);

/** `times`: of each request in ms, sorted. */
export const posts = (
  url: string,
  { count, atOnce, body }: { count: number; atOnce: number; body: unknown },
): Promise<{ ms: number; times: number[] }> => ask(['posts', url, count, atOnce, JSON.stringify(body)]);
