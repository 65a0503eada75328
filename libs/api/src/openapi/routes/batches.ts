import { z } from 'zod';
import {
  appendAnswerSchema,
  batchChangeSchema,
  batchesQuerySchema,
  batchPageSchema,
  batchQuerySchema,
  jobAnswerSchema,
  jobQuerySchema,
  newBatchSchema,
  newStreamSchema,
  validationSchema,
} from '../../batch.ts';
import { retrySchema } from '../../failures.ts';
import { optionsSchema } from '../../options.ts';
import { resultSchema } from '../../result.ts';
import type { Scope } from '../../keys.ts';
import type { RouteSpec, Routes } from '../route.ts';
import {
  accepted,
  batch,
  bodyProblems,
  id,
  json,
  keyProblems,
  location,
  ndjson,
  replayed,
  roomProblems,
} from './words.ts';

/** Of a stream the options stand in the query by their names, but for those that are objects. */
const streamQuery = z
  .object({
    ...newStreamSchema.shape,
    ...optionsSchema.omit({ rateLimit: true, groupRateLimit: true, webhook: true }).shape,
  })
  .omit({ params: true, options: true });

const move = (verb: string, summary: string, needs: Scope = 'control'): RouteSpec => ({
  id: `${verb}Batch`,
  needs,
  summary: `${summary}. It acts within 2 s; said again it is 200 and changes nothing`,
  path: id,
  answers: { 200: batch('The batch as it is now') },
  problems: [...bodyProblems, 'not-found', 'invalid-state'],
});

const submit: RouteSpec = {
  id: 'submitBatch',
  needs: 'submit',
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

/** Batches and single items: to submit, to look at, to control. */
export const batchRoutes: Routes = {
  '/v1/batches': {
    get: {
      id: 'listBatches',
      needs: 'read',
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
      needs: 'read',
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
      needs: 'control',
      summary:
        'Changes the name, the limits, the share and the brakes of a batch that has not ended; null takes one away',
      path: id,
      body: { [json]: batchChangeSchema },
      answers: { 200: batch('The batch as it is now') },
      problems: [...bodyProblems, 'not-found', 'invalid-state'],
    },
    delete: {
      id: 'deleteBatch',
      needs: 'control',
      summary: 'Deletes a batch that has ended, with its results',
      path: id,
      answers: { 204: { says: 'It is gone' } },
      problems: [...bodyProblems, 'not-found', 'invalid-state'],
    },
  },
  '/v1/batches/{id}/items': {
    post: {
      id: 'appendItems',
      needs: 'submit',
      summary: 'Appends to an open batch, all or nothing: at most 8 MiB and 50 000 items',
      path: id,
      body: { [json]: z.array(z.unknown()), [ndjson]: 'an input a line' },
      keyed: true,
      answers: { 202: { says: 'They are stored', content: { [json]: appendAnswerSchema }, headers: replayed } },
      problems: [...bodyProblems, ...keyProblems, ...roomProblems, 'unknown-handler', 'not-found', 'invalid-state'],
    },
  },
  '/v1/batches/{id}/close': { post: move('close', 'Lets an open batch take no more items', 'submit') },
  '/v1/batches/{id}/cancel': { post: move('cancel', 'Stops a batch for good; what was done stays') },
  '/v1/batches/{id}/pause': { post: move('pause', 'Lets nothing more of a batch start') },
  '/v1/batches/{id}/resume': { post: move('resume', 'Lets a paused batch go on, and releases a canary') },
  '/v1/batches/{id}/retry': {
    post: {
      ...move('retry', 'Runs failed items again, all or those of one cause'),
      body: { [json]: retrySchema },
      needsBody: false,
    },
  },
  '/v1/jobs/{handler}': {
    post: {
      id: 'submitJob',
      needs: 'submit',
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
};
