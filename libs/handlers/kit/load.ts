import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Handler, HandlerError } from './define.ts';
import { importFile } from './import-file.ts';

/** Handlers by name. A Map, so that `constructor` is no handler. */
export type Catalog = ReadonlyMap<string, Handler>;

/**
 * Loads every file of the folders (not below them) whose default export is a handler, in the order of their names.
 * Handlers are trusted code. Throws HandlerError: no folder, no handler in a file, two of one name.
 */
export async function loadHandlers(folders: readonly string[]): Promise<Catalog> {
  const catalog = new Map<string, Handler>();
  const places = new Map<string, string>();
  for (const folder of folders) {
    for (const file of await filesOf(resolve(folder))) {
      const handler = await loadFile(file);
      const other = places.get(handler.name);
      if (other !== undefined)
        throw new HandlerError(`two handlers are called "${handler.name}": ${other} and ${file}`);
      places.set(handler.name, file);
      catalog.set(handler.name, handler);
    }
  }
  return catalog;
}

async function filesOf(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile() && /\.(ts|js|mjs)$/.test(entry.name) && !/\.(test|d)\.ts$/.test(entry.name))
      .map((entry) => resolve(folder, entry.name))
      .sort();
  } catch (error) {
    throw new HandlerError(
      `the folder ${folder} in HANDLERS cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}

async function loadFile(file: string): Promise<Handler> {
  let loaded: { default?: unknown };
  try {
    loaded = (await importFile(file)) as { default?: unknown };
  } catch (error) {
    throw new HandlerError(`${file} cannot be loaded: ${(error as Error).message}`, { cause: error });
  }
  const handler = loaded.default as Handler | undefined;
  if (
    typeof handler?.name !== 'string' ||
    (typeof handler.run !== 'function' && typeof handler.runChunk !== 'function')
  ) {
    throw new HandlerError(`${file} has no handler: write "export default defineHandler({ name, description, run })"`);
  }
  return handler;
}
