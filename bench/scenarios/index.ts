import type { Scenario } from '../kit/scenario.ts';
import add from './add.ts';
import bytes from './bytes.ts';
import cost from './cost.ts';
import distance from './distance.ts';
import fairness from './fairness.ts';
import features from './features.ts';
import groups from './groups.ts';
import growth from './growth.ts';
import indexBlock from './index-block.ts';
import importUser from './import-user.ts';
import intake from './intake.ts';
import levers from './levers.ts';
import limits from './limits.ts';
import rate from './rate.ts';
import scaling from './scaling.ts';
import simulate from './simulate.ts';
import single from './single.ts';
import start from './start.ts';
import statements from './statements.ts';
import stream from './stream.ts';

/** In the order in which they run. */
export const scenarios: readonly Scenario[] = [
  rate,
  scaling,
  intake,
  distance,
  single,
  growth,
  fairness,
  features,
  groups,
  limits,
  start,
  cost,
  levers,
  statements,
  bytes,
  simulate,
  indexBlock,
  importUser,
  add,
  stream,
];
