import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { newest, readKept } from './kit/kept.ts';
import { fillPage, pages } from './kit/pages.ts';
import { plots } from './kit/plots.ts';
import { draw } from './peers/draw.mjs';

const root = new URL('../', import.meta.url);
const folder = new URL('docs/plots/', root);

/** Draws what was measured last into docs/plots, and writes its tables where the pages have marks for them. Answers the exit code: 66 when nothing was measured yet. */
export async function plot(say: (line: string) => void): Promise<number> {
  const kept = newest(await readKept());
  const drawable = plots.filter(({ scenario }) => kept.has(scenario));
  if (drawable.length === 0) {
    const names = plots.map(({ scenario }) => scenario).join(' ');
    say(`There is nothing to draw: bench/results has no figures yet. Measure first: pnpm bench ${names}`);
    return 66; // EX_NOINPUT
  }
  await mkdir(folder, { recursive: true });
  for (const { file, scenario, spec } of plots) {
    const figures = kept.get(scenario);
    if (figures === undefined) {
      say(`docs/plots/${file} is not drawn: no figures yet. Measure first: pnpm bench ${scenario}`);
      continue;
    }
    const told = await put(new URL(file, folder), `${await draw(spec(figures))}\n`);
    say(`docs/plots/${file}: ${told}; ${figures.title}, measured at ${figures.at}`);
  }
  for (const page of pages) {
    const file = new URL(page, root);
    say(`${page}: ${await put(file, fillPage(await readFile(file, 'utf8'), kept))}`);
  }
  return 0;
}

async function put(file: URL, text: string): Promise<'unchanged' | 'written'> {
  if ((await readFile(file, 'utf8').catch(() => null)) === text) return 'unchanged';
  await writeFile(file, text);
  return 'written';
}
