import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const file = fileURLToPath(new URL('../peers/loop.mjs', import.meta.url));

/** Items a second of so many processes that do nothing but the item: no queue, no database. */
export async function runLoop(
  processes: number,
  { items, iterations }: { items: number; iterations: number },
): Promise<number> {
  const children = Array.from({ length: processes }, (): ChildProcess => fork(file));
  try {
    await Promise.all(children.map((child) => once(child, 'message')));
    const started = performance.now();
    const ended = Promise.all(children.map((child) => once(child, 'message')));
    for (const child of children) child.send({ items: Math.ceil(items / processes), iterations });
    await ended;
    return (items / (performance.now() - started)) * 1000;
  } finally {
    for (const child of children) child.kill();
  }
}
