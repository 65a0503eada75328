import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const run = (...words: string[]): boolean => spawnSync(words[0]!, words.slice(1)).status === 0;

/** A disk of so many MB in memory; null where this user may not mount one. */
export function openSmallDisk(megabytes: number) {
  const path = mkdtempSync(join(tmpdir(), 'bullpen-disk-'));
  if (!run('mount', '-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0777`, 'tmpfs', path)) {
    rmSync(path, { recursive: true });
    return null;
  }
  return {
    path,
    grow: (to: number): boolean => run('mount', '-o', `remount,size=${to}m`, path),
    /** Whoever still has files of it open keeps them. */
    close: (): void => void (run('umount', '-l', path) && rmSync(path, { recursive: true })),
  };
}
