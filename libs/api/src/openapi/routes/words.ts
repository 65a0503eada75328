import { batchSchema } from '../../batch.ts';
import type { AnswerSpec } from '../route.ts';

export const json = 'application/json';
export const ndjson = 'application/x-ndjson';
export const id = { id: 'the batch' };
export const location = { Location: 'where it can be read' };
export const replayed = { 'Idempotency-Replayed': 'true where an earlier request with this key was answered so' };

export const batch = (says: string): AnswerSpec => ({ says, content: { [json]: batchSchema } });
export const accepted: AnswerSpec = {
  ...batch('It is stored: what was answered ends, whatever dies'),
  headers: { ...location, ...replayed },
};
/** Of what is stored. */
export const roomProblems = ['backlog-full', 'no-room'] as const;
export const bodyProblems = [
  'malformed',
  'too-large',
  'unsupported-media-type',
  'invalid',
  'busy',
  'disk-full',
] as const;
export const keyProblems = ['in-progress', 'key-reused'] as const;
