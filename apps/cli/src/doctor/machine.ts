import { statfs } from 'node:fs/promises';
import type { Settings } from '@bullpen/runtime';
import { bytesText } from '../text/numbers.ts';
import { bad, ok, warn, type Finding } from './finding.ts';

const mebi = 1024 ** 2;
const gibi = 1024 ** 3;

/** This machine: its Node, and the disk under DATA_DIR where the embedded servers write. */
export async function judgeMachine(
  settings: Pick<Settings, 'dataDir' | 'diskFreeMinMb'>,
  servesFromDisk: boolean,
): Promise<Finding[]> {
  return [ok('node', process.versions.node), ...(await judgeDisk(settings, servesFromDisk))];
}

async function judgeDisk(
  { dataDir, diskFreeMinMb }: Pick<Settings, 'dataDir' | 'diskFreeMinMb'>,
  servesFromDisk: boolean,
): Promise<Finding[]> {
  const disk = servesFromDisk ? await statfs(dataDir).catch(() => null) : null;
  if (disk === null) return [];
  const free = disk.bavail * disk.bsize;
  const found = `${bytesText(free)} of ${bytesText(disk.blocks * disk.bsize)} free under ${dataDir}`;
  const remedy = `du -sh ${dataDir}/*   and make room, or move the folder and set DATA_DIR`;
  if (free < diskFreeMinMb * mebi)
    return [bad('disk', `${found}, less than DISK_FREE_MIN_MB (${diskFreeMinMb}): nothing more is accepted`, remedy)];
  if (free < gibi) return [bad('disk', found, remedy)];
  return [free < 5 * gibi ? warn('disk', found, remedy) : ok('disk', found)];
}
