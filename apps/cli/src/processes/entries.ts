import { fileURLToPath } from 'node:url';

/**
 * Arguments of Node that run an app: its built file where `build` says so (as every command of package.json does), else
 * straight from its TypeScript. As absolute paths, so that they hold in any working folder.
 */
const run = (app: string, build: string | undefined): string[] =>
  build === undefined
    ? ['--import', import.meta.resolve('tsx'), fileURLToPath(new URL(`../../../${app}/src/main.ts`, import.meta.url))]
    : ['--enable-source-maps', `${build}/${app}.mjs`];

export const producerArgs = (env: Readonly<Record<string, string | undefined>>): string[] =>
  run('producer', env['BULLPEN_BUILD']);
export const workerArgs = (env: Readonly<Record<string, string | undefined>>): string[] =>
  run('worker', env['BULLPEN_BUILD']);
