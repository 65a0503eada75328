import { z } from 'zod';
import { failuresQuerySchema, failuresSchema } from '../../failures.ts';
import { resultCsvQuerySchema, resultPageSchema, resultSchema, resultsQuerySchema } from '../../result.ts';
import type { Routes } from '../route.ts';
import { id, json, ndjson } from './words.ts';

/** What came of the items of a batch. */
export const resultRoutes: Routes = {
  '/v1/batches/{id}/results': {
    get: {
      id: 'listResults',
      needs: 'read',
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
      needs: 'read',
      summary: 'One result; 404 while there is none',
      path: { ...id, index: 'of the item' },
      answers: { 200: { says: 'The result', content: { [json]: resultSchema } } },
      problems: ['invalid', 'not-found'],
    },
  },
  '/v1/batches/{id}/inputs': {
    get: {
      id: 'streamInputs',
      needs: 'read',
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
      needs: 'read',
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
      needs: 'read',
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
