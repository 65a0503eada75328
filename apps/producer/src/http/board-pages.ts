import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import type { Express } from 'express';
import type { HttpDeps } from './deps.ts';

/** Bull Board looks for its pages from the file that is running, which may be our one built file. */
const uiBasePath = dirname(createRequire(import.meta.url).resolve('@bull-board/ui/package.json'));

/** Bull Board's own pages and data of these queues, below `path`; `describe` says what stands below the name of one. */
export function createPages(
  path: string,
  queues: HttpDeps['queues'],
  describe: (partition: number) => string,
): Express {
  const serverAdapter = new ExpressAdapter();
  serverAdapter.setBasePath(path);
  const adapters = queues.map((queue, partition) => {
    const adapter = new BullMQAdapter(queue, { readOnlyMode: true, allowRetries: false });
    adapter.getDescription = () => describe(partition);
    return adapter;
  });
  createBullBoard({
    queues: adapters,
    serverAdapter,
    options: { uiBasePath, uiConfig: { boardTitle: 'Bullpen', hideRedisDetails: true } },
  });
  const pages = serverAdapter.getRouter() as Express;
  pages.disable('x-powered-by');
  return pages;
}
