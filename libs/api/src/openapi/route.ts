import type { z } from 'zod';
import type { Scope } from '../keys.ts';
import type { ProblemSlug } from '../problems.ts';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

/** What goes in or comes out by its media type: a schema, or words for what is no JSON. */
export type Content = Partial<Record<string, z.ZodType | string>>;

export interface AnswerSpec {
  says: string;
  content?: Content;
  /** Headers by name, with what they say. */
  headers?: Record<string, string>;
}

/** One method of one path, as it is answered and as the document shows it. */
export interface RouteSpec {
  id: string;
  /** What a key has to allow; any key, or none. */
  needs: Scope | 'key' | 'nothing';
  summary: string;
  /** The parameters in the path, with their words. */
  path?: Record<string, string>;
  query?: z.ZodObject;
  body?: Content;
  /** False: it may come without one. */
  needsBody?: false;
  /** It takes an Idempotency-Key. */
  keyed?: true;
  answers: Record<number, AnswerSpec>;
  /** Beside those that every route may answer (`always`). */
  problems: ProblemSlug[];
}

export type Routes = Record<string, Partial<Record<Method, RouteSpec>>>;

/** Every route may answer these. 405 and 404 are what paths and methods answer that are not here. */
export const always: ProblemSlug[] = [
  'malformed',
  'unauthorized',
  'forbidden',
  'unknown-host',
  'rate-limited',
  'request-timeout',
  'header-too-large',
  'internal',
  'unavailable',
];
