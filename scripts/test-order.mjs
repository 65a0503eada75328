import { parseArgs } from 'node:util';
import { runBin } from './child.mjs';

const usage = `Usage: npm run test:order -- [--histories N] [--seed S] [--break barrier]

Plays N random histories of faults (200) against groups in order; ends with 1 at the first that went wrong, and tells it. The first
history is that of seed S, each that follows has the next seed. --break leaves out that items of a group wait for each other, to see that it is noticed.`;

const options = /** @type {const} */ ({
  histories: { type: 'string', default: '200' },
  seed: { type: 'string', default: '' },
  break: { type: 'string', default: 'nothing' },
  help: { type: 'boolean', default: false },
});

/** What is wrong with the arguments; null: nothing. */
function faultOf({ histories, seed, break: broken }) {
  if (!/^[1-9]\d{0,4}$/.test(histories))
    return `--histories must be a whole number from 1 to 99999, not "${histories}"`;
  if (!/^(\d{1,9})?$/.test(seed)) return `--seed must be a whole number from 0 to 999999999, not "${seed}"`;
  if (!['nothing', 'barrier'].includes(broken)) return `there is no "${broken}" to --break`;
  return null;
}

/** Plays the histories of test/order-histories.test.ts. `build` answers where the built processes are. */
export async function testOrder(args, build) {
  let values;
  try {
    ({ values } = parseArgs({ args, options }));
  } catch (error) {
    return refuse(error.message);
  }
  if (values.help) return console.log(usage) ?? 0;
  const fault = faultOf(values);
  if (fault !== null) return refuse(fault);
  process.env.ORDER_HISTORIES = values.histories;
  process.env.ORDER_SEED = values.seed;
  process.env.ORDER_BREAK = values.break;
  process.env.BULLPEN_BUILD = await build();
  return runBin('vitest', ['run', 'test/order-histories.test.ts']);
}

function refuse(fault) {
  console.error(`${fault}\n\n${usage}`);
  return 64; // EX_USAGE
}
