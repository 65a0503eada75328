import { handlerListSchema, partitionListSchema, workerListSchema } from '../../cluster.ts';
import { createdKeySchema, keyListSchema, newKeySchema } from '../../keys.ts';
import { handlerLimitsSchema } from '../../limits.ts';
import type { Routes } from '../route.ts';
import { bodyProblems, json } from './words.ts';

/** What the service is made of, what bounds it, and who may ask. */
export const clusterRoutes: Routes = {
  '/v1/handlers': {
    get: {
      id: 'listHandlers',
      needs: 'key',
      summary: 'What batches can name, with JSON schemas of inputs and params, and limits',
      answers: { 200: { says: 'All handlers', content: { [json]: handlerListSchema } } },
      problems: ['invalid'],
    },
  },
  '/v1/handlers/{name}/limits': {
    put: {
      id: 'limitHandler',
      needs: 'admin',
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
      needs: 'read',
      summary: 'Live workers',
      answers: { 200: { says: 'Those that were seen within a lease', content: { [json]: workerListSchema } } },
      problems: ['invalid'],
    },
  },
  '/v1/partitions': {
    get: {
      id: 'listPartitions',
      needs: 'read',
      summary: 'Partition queues with their owners and backlogs',
      answers: { 200: { says: 'All partitions', content: { [json]: partitionListSchema } } },
      problems: ['invalid'],
    },
  },
  '/v1/keys': {
    get: {
      id: 'listKeys',
      needs: 'admin',
      summary: 'All keys there ever were, without their secrets',
      answers: { 200: { says: 'The oldest first', content: { [json]: keyListSchema } } },
      problems: ['invalid'],
    },
    post: {
      id: 'createKey',
      needs: 'admin',
      summary: 'Makes a key, which is shown this once. The first one has to have the scope admin, and no end',
      body: { [json]: newKeySchema },
      answers: { 201: { says: 'It holds from now on, within 2 s', content: { [json]: createdKeySchema } } },
      problems: [...bodyProblems, 'invalid-state'],
    },
  },
  '/v1/keys/{id}': {
    delete: {
      id: 'revokeKey',
      needs: 'admin',
      summary:
        'Revokes a key for good: within 2 s it is refused. The last one with the scope admin that has no end stays',
      path: { id: 'of the key' },
      answers: { 204: { says: 'It is revoked' } },
      problems: [...bodyProblems, 'not-found', 'invalid-state'],
    },
  },
};
