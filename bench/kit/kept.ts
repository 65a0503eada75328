import { readdir, readFile } from 'node:fs/promises';
import type { Asked, Report } from './scenario.ts';

/** Where the figures of each run are kept, a file a day and scenario. */
export const resultsFolder = new URL('../results/', import.meta.url);

/** What a run has left behind. */
export interface Kept extends Report {
  name: string;
  title: string;
  /** ISO 8601. */
  at: string;
  asked: Asked;
  machine: Record<string, string>;
}

/** The newest of each scenario; a quick one only where there is no other. */
export function newest(kept: readonly Kept[]): Map<string, Kept> {
  const found = new Map<string, Kept>();
  for (const each of kept) {
    const other = found.get(each.name);
    if (other === undefined || isBetter(each, other)) found.set(each.name, each);
  }
  return found;
}

const isBetter = (one: Kept, other: Kept): boolean =>
  one.asked.quick === other.asked.quick ? one.at > other.at : other.asked.quick;

/** All that is kept; nothing where nothing was measured yet. */
export async function readKept(): Promise<Kept[]> {
  const names = await readdir(resultsFolder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const files = names.filter((name) => name.endsWith('.json'));
  return Promise.all(
    files.map(async (name) => JSON.parse(await readFile(new URL(name, resultsFolder), 'utf8')) as Kept),
  );
}
