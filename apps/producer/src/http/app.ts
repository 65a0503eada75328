import express, { type Express } from 'express';
import { guardAccess, limitRate } from './access.ts';
import { deleteBatch, listBatches, showBatch } from './batches.ts';
import { appendItems, closeBatch } from './append.ts';
import { addBoard } from './board.ts';
import { moveBatch, retryBatch } from './control.ts';
import { createBodyReader } from '../intake/body.ts';
import { createJobs } from '../intake/jobs.ts';
import { listHandlers, listPartitions, listWorkers } from './cluster.ts';
import { showDocs, showOpenApi } from './docs-page.ts';
import { createImpatient } from './deadline.ts';
import type { HttpDeps } from './deps.ts';
import { streamEvents } from './events.ts';
import { listFailures } from './failures.ts';
import { createFollowers } from './followers.ts';
import { setHeaders } from './headers.ts';
import { streamInputs } from './inputs.ts';
import { showAlive, showReady } from './health.ts';
import { changeBatch, limitHandler } from './limits.ts';
import { createItemWatcher } from './item-watch.ts';
import { createKey, listKeys, revokeKey } from './keys.ts';
import { showMetrics } from './metrics.ts';
import { submitJob } from './jobs.ts';
import { addResource } from './resource.ts';
import { createResultStreams } from './result-stream.ts';
import { listResults, showResult } from './results.ts';
import { showStatus } from './status-page.ts';
import { submitBatch } from './submit.ts';
import { answerErrors, answerNotFound } from './trouble.ts';
import { createSummaries } from './summaries.ts';
import { createWatcher } from './watch.ts';

export type { HttpDeps } from './deps.ts';

/** The REST API, Bull Board and the status page, as docs/api.md describes them. It does not listen. */
export function createApp(given: HttpDeps): Express {
  const deps = { ...given, statements: createImpatient(given.statements) };
  const { statements } = deps;
  const watcher = createWatcher(deps);
  const summaries = createSummaries(deps);
  const withBody = createBodyReader();
  const jobs = createJobs(deps);
  const itemWatcher = createItemWatcher(deps);
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.set('trust proxy', deps.settings.trustProxy ?? false);

  app.use(setHeaders);
  app.use((_req, res, next) => {
    res.once('close', deps.uploads.turns.serve());
    next();
  });
  addResource(app, '/livez', { get: showAlive });
  app.use(guardAccess(deps), limitRate());
  addResource(app, '/readyz', { get: showReady(deps) });
  addResource(app, '/metrics', { get: showMetrics(deps) });
  addResource(app, '/v1/batches', { get: listBatches(statements), post: submitBatch(deps, withBody) });
  addResource(app, '/v1/batches/:id', {
    get: showBatch(statements, watcher, summaries),
    patch: changeBatch(deps, withBody),
    delete: deleteBatch(deps, withBody),
  });
  addResource(app, '/v1/batches/:id/items', { post: appendItems(deps, withBody) });
  addResource(app, '/v1/batches/:id/close', { post: closeBatch(deps, withBody) });
  for (const action of ['cancel', 'pause', 'resume'] as const)
    addResource(app, `/v1/batches/:id/${action}`, { post: moveBatch(deps, withBody, action) });
  addResource(app, '/v1/batches/:id/retry', { post: retryBatch(deps, withBody) });
  addResource(app, '/v1/jobs/:handler', { post: submitJob(deps, { withBody, jobs, watcher: itemWatcher }) });
  addResource(app, '/v1/batches/:id/results', {
    get: listResults(statements, createResultStreams(statements, deps.limits)),
  });
  addResource(app, '/v1/batches/:id/inputs', { get: streamInputs(statements) });
  addResource(app, '/v1/batches/:id/events', { get: streamEvents(statements, createFollowers(deps)) });
  addResource(app, '/v1/batches/:id/failures', { get: listFailures(deps) });
  addResource(app, '/v1/batches/:id/results/:index', { get: showResult(statements) });
  addResource(app, '/v1/handlers', { get: listHandlers(deps.handlers, statements, deps.log) });
  addResource(app, '/v1/handlers/:name/limits', { put: limitHandler(deps, withBody) });
  addResource(app, '/v1/workers', { get: listWorkers(deps) });
  addResource(app, '/v1/partitions', { get: listPartitions(deps) });
  addResource(app, '/v1/keys', { get: listKeys(deps), post: createKey(deps, withBody) });
  addResource(app, '/v1/keys/:id', { delete: revokeKey(deps, withBody) });
  addResource(app, '/openapi.json', { get: showOpenApi() });
  addResource(app, '/docs', { get: showDocs() });
  addBoard(app, deps);
  addResource(app, '/', { get: showStatus(deps) });
  app.use(answerNotFound);
  app.use(answerErrors(deps.log));
  return app;
}
