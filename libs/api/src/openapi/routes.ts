import { z } from 'zod';
import {
  appendAnswerSchema,
  batchChangeSchema,
  batchesQuerySchema,
  batchPageSchema,
  batchQuerySchema,
  batchSchema,
  jobAnswerSchema,
  jobQuerySchema,
  newBatchSchema,
  newStreamSchema,
  validationSchema,
} from '../batch.ts';
import { handlerListSchema, partitionListSchema, workerListSchema } from '../cluster.ts';
import { failuresQuerySchema, failuresSchema, retrySchema } from '../failures.ts';
import { handlerLimitsSchema } from '../limits.ts';
import { optionsSchema } from '../options.ts';
import { resultCsvQuerySchema, resultPageSchema, resultSchema, resultsQuerySchema } from '../result.ts';
import type { AnswerSpec, RouteSpec, Routes } from './route.ts';

const json = 'application/json';
const ndjson = 'application/x-ndjson';
const id = { id: 'the batch' };
const location = { Location: 'where it can be read' };
const replayed = { 'Idempotency-Replayed': 'true where an earlier request with this key was answered so' };

const batch = (says: string): AnswerSpec => ({ says, content: { [json]: batchSchema } });
const accepted: AnswerSpec = {
  ...batch('It is stored: what was answered ends, whatever dies'),
  headers: { ...location, ...replayed },
};
/** Of what is stored. */
const roomProblems = ['backlog-full', 'no-room'] as const;
const bodyProblems = ['malformed', 'too-large', 'unsupported-media-type', 'invalid', 'busy', 'disk-full'] as const;
const keyProblems = ['in-progress', 'key-reused'] as const;

/** Of a stream the options stand in the query by their names, but for those that are objects. */
const streamQuery = z
  .object({
    ...newStreamSchema.shape,
    ...optionsSchema.omit({ rateLimit: true, groupRateLimit: true, webhook: true }).shape,
  })
  .omit({ params: true, options: true });

const move = (verb: string, summary: string): RouteSpec => ({
  id: `${verb}Batch`,
  summary: `${summary}. It acts within 2 s; said again it is 200 and changes nothing`,
  path: id,
  answers: { 200: batch('The batch as it is now') },
  problems: ['invalid', 'not-found', 'invalid-state'],
});

const submit: RouteSpec = {
  id: 'submitBatch',
  summary:
    'Submits a batch: as JSON with a count or inputs; as NDJSON, an input a line; as CSV, a row an input. With NDJSON and CSV handler, name and options stand in the query, or with params in the header Bullpen-Options: the base64url of {"params": …, "options": {…}}',
  query: streamQuery,
  body: { [json]: newBatchSchema, [ndjson]: 'an input a line', 'text/csv': 'a header, then an input a row' },
  keyed: true,
  answers: {
    200: {
      says: 'validate=only: what is wrong with the lines; nothing is stored',
      content: { [json]: validationSchema },
    },
    202: accepted,
  },
  problems: [...bodyProblems, ...keyProblems, ...roomProblems, 'unknown-handler', 'not-found'],
};

const batchRoutes: Routes = {
  '/v1/batches': {
    get: {
      id: 'listBatches',
      summary: 'Lists batches, the newest first',
      query: batchesQuerySchema,
      answers: { 200: { says: 'A page', content: { [json]: batchPageSchema } } },
      problems: ['invalid'],
    },
    post: submit,
  },
  '/v1/batches/{id}': {
    get: {
      id: 'getBatch',
      summary: 'Shows a batch, at once or when it ends',
      path: id,
      query: batchQuerySchema,
      answers: {
        200: { ...batch('The batch'), headers: { ETag: 'for If-None-Match' } },
        304: { says: 'It is as it was' },
      },
      problems: ['invalid', 'not-found'],
    },
    patch: {
      id: 'changeBatch',
      summary:
        'Changes the name, the limits, the share and the brakes of a batch that has not ended; null takes one away',
      path: id,
      body: { [json]: batchChangeSchema },
      answers: { 200: batch('The batch as it is now') },
      problems: [...bodyProblems, 'not-found', 'invalid-state'],
    },
    delete: {
      id: 'deleteBatch',
      summary: 'Deletes a batch that has ended, with its results',
      path: id,
      answers: { 204: { says: 'It is gone' } },
      problems: ['invalid', 'not-found', 'invalid-state'],
    },
  },
  '/v1/batches/{id}/items': {
    post: {
      id: 'appendItems',
      summary: 'Appends to an open batch, all or nothing: at most 8 MiB and 50 000 items',
      path: id,
      body: { [json]: z.array(z.unknown()), [ndjson]: 'an input a line' },
      keyed: true,
      answers: { 202: { says: 'They are stored', content: { [json]: appendAnswerSchema }, headers: replayed } },
      problems: [...bodyProblems, ...keyProblems, ...roomProblems, 'unknown-handler', 'not-found', 'invalid-state'],
    },
  },
  '/v1/batches/{id}/close': { post: move('close', 'Lets an open batch take no more items') },
  '/v1/batches/{id}/cancel': { post: move('cancel', 'Stops a batch for good; what was done stays') },
  '/v1/batches/{id}/pause': { post: move('pause', 'Lets nothing more of a batch start') },
  '/v1/batches/{id}/resume': { post: move('resume', 'Lets a paused batch go on, and releases a canary') },
  '/v1/batches/{id}/retry': {
    post: {
      ...move('retry', 'Runs failed items again, all or those of one cause'),
      body: { [json]: retrySchema },
      needsBody: false,
      problems: [...bodyProblems, 'not-found', 'invalid-state'],
    },
  },
};

const resultRoutes: Routes = {
  '/v1/batches/{id}/results': {
    get: {
      id: 'listResults',
      summary:
        'Results in index order: a page, or as Accept says the whole set as NDJSON or CSV. inputs, after and escapeFormulas go with these, limit with pages',
      path: id,
      query: z.object({ ...resultsQuerySchema.shape, ...resultCsvQuerySchema.shape }),
      answers: {
        200: {
          says: 'A page, or a stream',
          content: {
            [json]: resultPageSchema,
            [ndjson]: 'a result a line; of a batch that runs the last is {"complete": false}',
            'text/csv': 'a header, then a result a row',
          },
          headers: { 'Bullpen-Complete': 'of CSV: whether nothing more comes' },
        },
      },
      problems: ['invalid', 'not-found', 'not-acceptable', 'busy'],
    },
  },
  '/v1/batches/{id}/results/{index}': {
    get: {
      id: 'getResult',
      summary: 'One result; 404 while there is none',
      path: { ...id, index: 'of the item' },
      answers: { 200: { says: 'The result', content: { [json]: resultSchema } } },
      problems: ['invalid', 'not-found'],
    },
  },
  '/v1/batches/{id}/inputs': {
    get: {
      id: 'streamInputs',
      summary: 'What was submitted, an item a line, whether it has a result or not',
      path: id,
      answers: {
        200: {
          says: 'A stream',
          content: { [ndjson]: 'a line {"index", "input"} for each item that has an input' },
          headers: { 'Bullpen-Counted': 'true where the batch is a count, whose items have none' },
        },
      },
      problems: ['invalid', 'not-found', 'not-acceptable', 'busy'],
    },
  },
  '/v1/batches/{id}/failures': {
    get: {
      id: 'listFailures',
      summary: 'Failed items by cause, the most frequent first',
      path: id,
      query: failuresQuerySchema,
      answers: { 200: { says: 'The causes', content: { [json]: failuresSchema } } },
      problems: ['invalid', 'not-found'],
    },
  },
  '/v1/batches/{id}/events': {
    get: {
      id: 'batchEvents',
      summary: 'Progress and state as server-sent events; Last-Event-ID goes on from there',
      path: id,
      answers: {
        204: { says: 'Nothing comes any more after Last-Event-ID' },
        200: {
          says: 'Until the batch ends',
          content: { 'text/event-stream': 'progress at most twice a second, state' },
        },
      },
      problems: ['invalid', 'not-found', 'not-acceptable', 'busy'],
    },
  },
};

const otherRoutes: Routes = {
  '/v1/jobs/{handler}': {
    post: {
      id: 'submitJob',
      summary: 'One item, whose input is the body; with wait its result, if that is there in time',
      path: { handler: 'its name' },
      query: jobQuerySchema,
      body: { [json]: z.unknown() },
      keyed: true,
      answers: {
        200: { says: 'Its result', content: { [json]: resultSchema }, headers: replayed },
        202: { says: 'It is stored', content: { [json]: jobAnswerSchema }, headers: { ...location, ...replayed } },
      },
      problems: [...bodyProblems, ...keyProblems, ...roomProblems, 'unknown-handler'],
    },
  },
  '/v1/handlers': {
    get: {
      id: 'listHandlers',
      summary: 'What batches can name, with JSON schemas of inputs and params, and limits',
      answers: { 200: { says: 'All handlers', content: { [json]: handlerListSchema } } },
      problems: ['invalid'],
    },
  },
  '/v1/handlers/{name}/limits': {
    put: {
      id: 'limitHandler',
      summary: 'What all batches of a handler together may do; what is left out is not limited',
      path: { name: 'of the handler' },
      body: { [json]: handlerLimitsSchema },
      answers: { 200: { says: 'The limits', content: { [json]: handlerLimitsSchema } } },
      problems: [...bodyProblems, 'not-found'],
    },
  },
  '/v1/workers': {
    get: {
      id: 'listWorkers',
      summary: 'Live workers',
      answers: { 200: { says: 'Those that were seen within a lease', content: { [json]: workerListSchema } } },
      problems: ['invalid'],
    },
  },
  '/v1/partitions': {
    get: {
      id: 'listPartitions',
      summary: 'Partition queues with their owners and backlogs',
      answers: { 200: { says: 'All partitions', content: { [json]: partitionListSchema } } },
      problems: ['invalid'],
    },
  },
  '/livez': {
    get: {
      id: 'alive',
      summary: 'The process lives; open to everybody',
      answers: { 200: { says: 'It does', content: { [json]: z.object({ status: z.literal('alive') }) } } },
      problems: [],
    },
  },
  '/readyz': {
    get: {
      id: 'ready',
      summary: 'Whether work can be accepted and published',
      answers: { 200: { says: 'It can', content: { [json]: z.object({ status: z.literal('ready') }) } } },
      problems: ['invalid', 'not-ready'],
    },
  },
  '/metrics': {
    get: {
      id: 'metrics',
      summary: 'The figures of this producer and of the cluster, for Prometheus',
      answers: { 200: { says: 'All of them', content: { 'text/plain': 'the text format of Prometheus, 0.0.4' } } },
      problems: ['invalid'],
    },
  },
  '/openapi.json': {
    get: {
      id: 'openApi',
      summary: 'This document',
      answers: { 200: { says: 'OpenAPI 3.1', content: { [json]: z.record(z.string(), z.unknown()) } } },
      problems: ['invalid'],
    },
  },
  '/docs': {
    get: {
      id: 'docs',
      summary: 'The same to read',
      answers: { 200: { says: 'A page', content: { 'text/html': 'without a script' } } },
      problems: ['invalid'],
    },
  },
  '/': {
    get: {
      id: 'status',
      summary: 'What there is and what runs, as a page',
      answers: { 200: { says: 'A page', content: { 'text/html': 'without a script' } } },
      problems: [],
    },
  },
};

/** All routes but Bull Board (`/queues`), by path. */
export const routes: Routes = { ...batchRoutes, ...resultRoutes, ...otherRoutes };
