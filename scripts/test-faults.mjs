import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runBin } from './child.mjs';
import { plants } from './plants.mjs';

const usage = `Usage: npm run test:faults -- [--seed S] [--plant NAME | --plant all]

Plays all faults with the long ones; what is left to chance follows from the seed. --plant builds the processes with a bug in them and ends
with 0 when the tests that should see it turn red, and say why. Bugs: ${Object.keys(plants).join(', ')}`;

const options = /** @type {const} */ ({
  seed: { type: 'string', default: '' },
  plant: { type: 'string', default: '' },
  help: { type: 'boolean', default: false },
});

/** What is wrong with the arguments; null: nothing. */
function faultOf({ seed, plant }) {
  if (!/^(\d{1,9})?$/.test(seed)) return `--seed must be a whole number from 0 to 999999999, not "${seed}"`;
  if (!['', 'all', ...Object.keys(plants)].includes(plant)) return `there is no "${plant}" to --plant`;
  return null;
}

/** Runs test/faults. `build` answers where the built processes are, with a bug in them where one is given. */
export async function testFaults(args, build) {
  let values;
  try {
    ({ values } = parseArgs({ args, options }));
  } catch (error) {
    return refuse(error.message);
  }
  if (values.help) return console.log(usage) ?? 0;
  const fault = faultOf(values);
  if (fault !== null) return refuse(fault);
  process.env.FAULTS_SEED = values.seed;
  if (values.plant !== '') return plantAll(values.plant === 'all' ? Object.keys(plants) : [values.plant], build);
  process.env.FAULTS_FULL = '1';
  process.env.BULLPEN_BUILD = await build();
  return runBin('vitest', ['run', 'test/faults', 'test/misbehave-in-lines', 'test/many-hands', 'test/chaos']);
}

async function plantAll(names, build) {
  const folder = await mkdtemp(join(tmpdir(), 'bullpen-plants-'));
  process.env.BULLPEN_PLANT = '1';
  const unseen = [];
  for (const name of names) {
    const { what, caught, says } = plants[name];
    process.env.BULLPEN_BUILD = await build(plants[name]);
    const reasons = await reasonsOf(caught, join(folder, `${name}.json`));
    const isSeen = reasons.some((reason) => says.test(reason));
    console.log(`plant ${name} (${what}): ${isSeen ? 'seen' : 'NOT SEEN'} by ${caught}`);
    if (isSeen) continue;
    unseen.push(name);
    for (const reason of reasons) console.log(`  it is red, but does not say ${says}: ${reason.slice(0, 500)}`);
  }
  await rm(folder, { recursive: true });
  if (unseen.length > 0) console.error(`not seen: ${unseen.join(', ')}`);
  return unseen.length === 0 ? 0 : 1;
}

/** Why tests are red whose name begins so, file first. A bug with which nothing starts makes them red, too. */
async function reasonsOf(caught, report) {
  const [file, ...pattern] = caught.split(' ');
  const reporters = ['--reporter', 'default', '--reporter', 'json', `--outputFile.json=${report}`];
  await runBin('vitest', ['run', `test/faults/${file}`, '-t', pattern.join(' '), '--bail', '1', ...reporters]);
  const { testResults } = JSON.parse(await readFile(report, 'utf8'));
  return testResults.flatMap(({ message, assertionResults }) => [
    ...assertionResults.flatMap(({ failureMessages = [] }) => failureMessages),
    ...(message ? [message] : []),
  ]);
}

function refuse(fault) {
  console.error(`${fault}\n\n${usage}`);
  return 64; // EX_USAGE
}
