import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { extname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './root.mjs';

/**
 * Puts each app into one file. Transpiling and loading some 1 500 small files takes a process 1.6 s of cpu, loading its
 * one file 0.3 s, and a start has five processes on perhaps two cpus. Done again only when a source has changed, in
 * under a second; answers the folder. `plant` is a bug that is built in, for a test that must see it (plants.mjs).
 */
export async function build(handlerFolders, plant = null) {
  const handlers = await handlersIn(handlerFolders);
  const cache = join(ROOT, 'node_modules', '.cache', 'bullpen');
  const out = join(cache, await fingerprint(handlers, plant));
  if (!existsSync(out)) await bundle(out, handlers, plant);
  for (const used of new Set([process.env.BULLPEN_BUILD ?? out, out])) await touch(used);
  await prune(cache);
  return out;
}

/** Says of a build that it is in use: its processes read files of it whenever one of them is started again. */
const touch = (out) => utimes(out, new Date(), new Date()).catch(() => {});
const touchEveryMs = 300_000;
/** As long as this process runs. */
export const keep = (out) => void setInterval(() => void touch(out), touchEveryMs).unref();

/** What a build is made of, by file, with a text that changes when the file does: for whoever wants to know when to build anew. */
export async function look(handlerFolders) {
  const files = await sources(await handlersIn(handlerFolders));
  const stamps = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ mtimeMs, size }) => `${mtimeMs} ${size}`,
        () => 'gone',
      ),
    ),
  );
  return new Map(files.map((file, at) => [shown(file), stamps[at]]));
}

/** As a person here would name it. */
function shown(file) {
  const path = relative(ROOT, file);
  return path.startsWith('..') ? file : path;
}

async function handlersIn(folders) {
  const files = await Promise.all(folders.map((folder) => filesOf(resolve(ROOT, folder))));
  return files.flat().filter(isHandler);
}

async function bundle(out, handlers, plant) {
  const { build: esbuild, stop } = await import('esbuild');
  const fresh = `${out}.${process.pid}`;
  await esbuild({
    absWorkingDir: ROOT,
    entryPoints: {
      ...Object.fromEntries(['producer', 'worker', 'cli'].map((app) => [app, `apps/${app}/src/main.ts`])),
      watchdog: 'apps/worker/src/watchdog/thread.ts',
      isolated: 'apps/worker/src/isolation/process.ts',
      threads: 'apps/worker/src/threads/thread.ts',
      reducer: 'apps/producer/src/reduce/thread.ts',
    },
    outdir: fresh,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'linked',
    sourcesContent: false,
    minifyWhitespace: true,
    minifySyntax: true,
    logLevel: 'warning',
    // Handlers may lie outside of this checkout; they find @bullpen/handlers and zod all the same.
    nodePaths: [join(ROOT, 'node_modules')],
    // Some packages are CommonJS and call require for what Node has built in.
    banner: {
      js: "import { createRequire as bullpenRequire } from 'node:module'; const require = bullpenRequire(import.meta.url);",
    },
    plugins: [knownHandlers(handlers), besides(), ownPlaces(plant)],
  });
  // Its service would live as long as we do.
  await stop();
  await rename(fresh, out).catch(async (error) => {
    // Another start was faster; its files are the same.
    await rm(fresh, { recursive: true, force: true });
    if (!existsSync(out)) throw error;
  });
}

/** Our sources find files beside them (migrations, packages) by import.meta.url, also from inside the bundle. */
const ownPlaces = (plant) => ({
  name: 'own-places',
  setup(bundler) {
    bundler.onLoad({ filter: /[\\/](apps|libs)[\\/][^\\/]+[\\/](src|kit)[\\/].*\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const text =
        plant !== null && path === join(ROOT, plant.file) ? source.replace(plant.from, () => plant.to) : source;
      return { contents: text.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)), loader: 'ts' };
    });
  },
});

/** Threads and processes of an app have files of their own, which stand beside the bundle's other files. */
const besides = () => ({
  name: 'besides',
  setup(bundler) {
    for (const [file, own, built] of [
      [/[\\/]watchdog[\\/]thread-file\.ts$/, './thread.ts', './watchdog.mjs'],
      [/[\\/]isolation[\\/]process-file\.ts$/, './process.ts', './isolated.mjs'],
      [/[\\/]threads[\\/]thread-file\.ts$/, './thread.ts', './threads.mjs'],
      [/[\\/]reduce[\\/]thread-file\.ts$/, './thread.ts', './reducer.mjs'],
    ])
      bundler.onLoad({ filter: file }, async ({ path }) => {
        const text = await readFile(path, 'utf8');
        return { contents: text.replace(own, built), loader: 'ts' };
      });
  },
});

/** Handlers become part of the bundle, so that they share one `Fail` and one `Retry` with the worker. */
const knownHandlers = (handlers) => ({
  name: 'known-handlers',
  setup(bundler) {
    bundler.onLoad({ filter: /[\\/]libs[\\/]handlers[\\/]kit[\\/]import-file\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const known = handlers.map((file) => `[${JSON.stringify(file)}, () => import(${JSON.stringify(file)})]`);
      return { contents: text.replace('new Map()', `new Map([${known.join(', ')}])`), loader: 'ts' };
    });
  },
});

/** Changes with every source, handler, package version and Node's major, and with what of all that is a handler. */
async function fingerprint(handlers, plant) {
  const hash = createHash('sha256').update([process.versions.node.split('.')[0], ...handlers].join('\0'));
  if (plant !== null) hash.update(JSON.stringify(plant));
  const files = await sources(handlers);
  const texts = await Promise.all(files.map((file) => readFile(file)));
  for (const [at, file] of files.entries()) hash.update(relative(ROOT, file)).update('\0').update(texts[at]);
  return hash.digest('hex').slice(0, 16);
}

/** All files that make a difference, sorted, each once. */
async function sources(handlers) {
  const trees = await Promise.all(['apps', 'libs'].map((folder) => sourcesOf(join(ROOT, folder))));
  const files = [...trees.flat(), ...handlers, join(ROOT, 'pnpm-lock.yaml'), join(ROOT, 'scripts', 'build.mjs')];
  return [...new Set(files)].sort((a, b) => (a < b ? -1 : 1));
}

async function sourcesOf(folder) {
  const packages = await readdir(folder);
  const places = packages.flatMap((name) => ['src', 'kit'].map((inner) => join(folder, name, inner)));
  const files = await Promise.all(places.map(filesOf));
  return [...files.flat(), ...packages.map((name) => join(folder, name, 'package.json'))].filter(existsSync);
}

/** All files below a folder; none when it does not exist: who needs it says so. */
async function filesOf(folder) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

const isHandler = (file) => ['.ts', '.js', '.mjs'].includes(extname(file)) && !/\.(test|d)\.ts$/.test(file);

/** The youngest are kept, and what was in use a moment ago. */
export async function prune(cache, kept = 4, keptMs = 3 * touchEveryMs) {
  await mkdir(cache, { recursive: true });
  const builds = await Promise.all(
    (await readdir(cache))
      .filter((name) => /^[0-9a-f]{16}$/.test(name))
      .map(async (name) => ({ name, at: (await stat(join(cache, name))).mtimeMs })),
  );
  const old = builds
    .sort((a, b) => b.at - a.at)
    .slice(kept)
    .filter(({ at }) => at < Date.now() - keptMs);
  for (const { name } of old) await rm(join(cache, name), { recursive: true, force: true });
}
