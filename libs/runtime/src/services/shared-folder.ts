import { createHash } from 'node:crypto';
import { lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError } from './error.ts';

/**
 * A folder that every user of this machine may pass through and only root may write to, under /var/tmp, which survives a reboot.
 * `forWhat` is the path it stands in for. Others can write to /var/tmp too, so a folder that is not ours is refused.
 */
export async function sharedFolder(name: string, forWhat: string): Promise<string> {
  const hash = createHash('sha256').update(forWhat).digest('hex').slice(0, 12);
  const path = join('/var/tmp', `bullpen-${name}-${hash}`);
  await mkdir(path, { mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const found = await lstat(path);
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new ServiceError(
      'data-dir',
      `${path} belongs to someone else. Remove it, or start Bullpen as an ordinary user.`,
    );
  }
  return path;
}
