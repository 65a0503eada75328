import type { Method } from '@bullpen/api';

/** What a request needs besides its path, so that it is answered 2xx. */
export interface Sample {
  headers?: Record<string, string>;
  body?: string;
}

const json = (value: unknown): Sample => ({
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(value),
});

/** For each operation that takes a body. */
const samples: Record<string, Sample> = {
  submitBatch: json({ handler: 'echo', count: 1 }),
  changeBatch: json({ options: { weight: 2 } }),
  appendItems: json([1, 2]),
  submitJob: json(1),
  limitHandler: json({ concurrency: 5 }),
  createKey: json({ name: 'made', scopes: ['read'] }),
};

export const sampleOf = (operation: string): Sample => samples[operation] ?? {};

export interface Operation {
  path: string;
  method: Method;
  id: string;
  /** What a key has to allow; [] is any key, null is nothing. */
  scopes: string[] | null;
}

/** The operations of the published document. */
export function operationsOf(document: {
  paths: Record<string, Record<string, { operationId: string; security: { key?: string[] }[] }>>;
}): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, security }]) => ({
      path,
      method: method as Method,
      id: operationId,
      scopes: security.length === 0 ? null : (security.find(({ key }) => key !== undefined)?.key ?? []),
    })),
  );
}
