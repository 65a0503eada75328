import { pathToFileURL } from 'node:url';

/** Handlers that are part of this bundle, by file; scripts/build.mjs fills it in. Empty when the sources run as they are. */
const known: ReadonlyMap<string, () => Promise<unknown>> = new Map();

export const importFile = (file: string): Promise<unknown> =>
  (known.get(file) ?? (() => import(pathToFileURL(file).href)))();
