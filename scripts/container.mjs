// What a container runs: `node scripts/container.mjs producer|worker|cli [arguments]`, or `build` while the image is made.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from './build.mjs';

const [app = 'producer', ...args] = process.argv.slice(2);
if (!['producer', 'worker', 'cli', 'build'].includes(app)) {
  console.error(`There is no "${app}" in this image: producer, worker and cli are.`);
  process.exit(64); // EX_USAGE
}

// Made already, unless there are other handlers.
const out = await build((process.env.HANDLERS || 'libs/handlers/src').split(','));
if (app !== 'build') {
  process.setSourceMapsEnabled(true);
  process.argv = [process.argv[0], join(out, `${app}.mjs`), ...args];
  await import(pathToFileURL(join(out, `${app}.mjs`)).href);
}
