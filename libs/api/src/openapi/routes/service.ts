import { z } from 'zod';
import type { Routes } from '../route.ts';
import { json } from './words.ts';

/** How this process is, and what it says of itself. */
export const serviceRoutes: Routes = {
  '/livez': {
    get: {
      id: 'alive',
      needs: 'nothing',
      summary: 'The process lives',
      answers: { 200: { says: 'It does', content: { [json]: z.object({ status: z.literal('alive') }) } } },
      problems: [],
    },
  },
  '/readyz': {
    get: {
      id: 'ready',
      needs: 'nothing',
      summary: 'Whether work can be accepted and published; what is in the way only to who has a key',
      answers: { 200: { says: 'It can', content: { [json]: z.object({ status: z.literal('ready') }) } } },
      problems: ['invalid', 'not-ready'],
    },
  },
  '/metrics': {
    get: {
      id: 'metrics',
      needs: 'read',
      summary: 'The figures of this producer and of the cluster, for Prometheus',
      answers: { 200: { says: 'All of them', content: { 'text/plain': 'the text format of Prometheus, 0.0.4' } } },
      problems: ['invalid'],
    },
  },
  '/openapi.json': {
    get: {
      id: 'openApi',
      needs: 'key',
      summary: 'This document',
      answers: { 200: { says: 'OpenAPI 3.1', content: { [json]: z.record(z.string(), z.unknown()) } } },
      problems: ['invalid'],
    },
  },
  '/docs': {
    get: {
      id: 'docs',
      needs: 'key',
      summary: 'The same to read',
      answers: { 200: { says: 'A page', content: { 'text/html': 'without a script' } } },
      problems: ['invalid'],
    },
  },
  '/': {
    get: {
      id: 'status',
      needs: 'read',
      summary: 'What there is and what runs, as a page',
      answers: { 200: { says: 'A page', content: { 'text/html': 'without a script' } } },
      problems: [],
    },
  },
};
