import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const file = fileURLToPath(new URL('client.mjs', import.meta.url));

async function ask<Answer>(...args: (string | number)[]): Promise<Answer> {
  const options = { maxBuffer: 2 ** 28 };
  const { stdout } = await promisify(execFile)(process.execPath, [file, ...args.map(String)], options);
  return JSON.parse(stdout) as Answer;
}

/** Clients in processes of their own, so that what they take is not the service's. */
export const upload = (url: string, lines: number): Promise<{ ms: number; bytes: number; id: string }> =>
  ask('upload', url, lines);

/** Lines `{"height":N}` from 0 on; `options` is the header Bullpen-Options. */
export const uploadHeights = (
  url: string,
  count: number,
  options: string,
): Promise<{ ms: number; bytes: number; id: string }> => ask('heights', url, count, options);

/** What the lines of `uploadGroups` are. */
export interface GroupLines {
  items: number;
  groups: number;
  /** More items, of one group more. */
  hot?: number;
}

/** Inputs of about 100 bytes with a `key`, and `ms` as `sleep` takes it. */
export const uploadGroups = (
  url: string,
  { items, groups, hot = 0 }: GroupLines,
): Promise<{ ms: number; bytes: number; id: string }> => ask('groups', url, items, groups, hot);

/** The same lines to an open batch, in appends of 5 000, by so many producers at once, each with keys of its own. */
export const appendGroups = (
  url: string,
  { items, groups, atOnce }: { items: number; groups: number; atOnce: number },
): Promise<{ ms: number; items: number }> => ask('append', url, items, groups, atOnce);

export const download = (url: string, mbPerSecond: number): Promise<{ ms: number; bytes: number }> =>
  ask('download', url, mbPerSecond);

/** So many readers in one process, each at most so fast; resolves once all of them read, with what ends them. */
export async function slowReaders(url: string, count: number, kbPerSecond: number): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [file, 'readers', url, String(count), String(kbPerSecond)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return async () => {
    child.kill();
    await once(child, 'close');
  };
}

/** `times`: of each request in ms, sorted. */
export const posts = (
  url: string,
  { count, atOnce, body }: { count: number; atOnce: number; body: unknown },
): Promise<{ ms: number; times: number[] }> => ask('posts', url, count, atOnce, JSON.stringify(body));
