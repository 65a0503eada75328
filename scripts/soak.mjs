import { parseArgs } from 'node:util';
import { runBin } from './child.mjs';
import { plants } from './plants.mjs';

const usage = `Usage: npm run soak -- [--minutes N] [--seed S] [--rate R] [--plant NAME]
       npm run soak -- --recovery [--only TEXT]

Random faults of all kinds for N minutes (20), while several clients hand over work of several handlers, R items a second (7000). Then
all must have ended, each item once. What happens when follows from the seed; ends with 1, and names it, when anything was lost,
doubled or stuck. --plant builds the processes with a bug in them, to see that it is noticed (test:faults --help names them).
--recovery provokes each kind once, or those with TEXT in their names, and prints the items a second before it and from 10 s after it on.

Examples:
  npm run soak -- --minutes 5
  npm run soak -- --minutes 20 --seed 4711
  npm run soak -- --recovery --only redis`;

const options = /** @type {const} */ ({
  minutes: { type: 'string', default: '20' },
  seed: { type: 'string', default: '' },
  rate: { type: 'string', default: '7000' },
  plant: { type: 'string', default: '' },
  recovery: { type: 'boolean', default: false },
  only: { type: 'string', default: '' },
  help: { type: 'boolean', default: false },
});

/** What is wrong with the arguments; null: nothing. */
function faultOf({ minutes, seed, rate, plant, recovery, only }) {
  if (only !== '' && !recovery) return '--only goes with --recovery';
  if (plant !== '' && !(plant in plants)) return `there is no "${plant}" to --plant`;
  if (!(Number(minutes) > 0 && Number(minutes) <= 10_000))
    return `--minutes must be a number up to 10000, not "${minutes}"`;
  if (!/^(\d{1,9})?$/.test(seed)) return `--seed must be a whole number from 0 to 999999999, not "${seed}"`;
  if (!/^[1-9]\d{0,6}$/.test(rate)) return `--rate must be a whole number from 1 to 9999999, not "${rate}"`;
  return null;
}

/** Runs test/soak. `build` answers where the built processes are. */
export async function soak(args, build) {
  let values;
  try {
    ({ values } = parseArgs({ args, options }));
  } catch (error) {
    return refuse(error.message);
  }
  if (values.help) return console.log(usage) ?? 0;
  const fault = faultOf(values);
  if (fault !== null) return refuse(fault);
  process.env.BULLPEN_BUILD = await build(plants[values.plant]);
  if (values.recovery) {
    Object.assign(process.env, { SOAK_RECOVERY: '1', SOAK_ONLY: values.only });
    return runBin('vitest', ['run', 'test/soak/recovery', '--disable-console-intercept']);
  }
  const seed = values.seed || String(Date.now() % 1_000_000_000);
  Object.assign(process.env, { SOAK_MINUTES: values.minutes, SOAK_SEED: seed, SOAK_RATE: values.rate });
  const code = await runBin('vitest', ['run', 'test/soak/soak', '--disable-console-intercept']);
  if (code !== 0) console.error(`npm run soak -- --minutes ${values.minutes} --seed ${seed}   plays it again`);
  return code;
}

function refuse(fault) {
  console.error(`${fault}\n\n${usage}`);
  return 64; // EX_USAGE
}
