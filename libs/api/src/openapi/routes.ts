import type { Routes } from './route.ts';
import { batchRoutes } from './routes/batches.ts';
import { clusterRoutes } from './routes/cluster.ts';
import { resultRoutes } from './routes/results.ts';
import { serviceRoutes } from './routes/service.ts';

/** All routes but Bull Board (`/queues`), by path. */
export const routes: Routes = { ...batchRoutes, ...resultRoutes, ...clusterRoutes, ...serviceRoutes };
