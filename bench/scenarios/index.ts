import type { Scenario } from '../kit/scenario.ts';
import distance from './distance.ts';
import features from './features.ts';
import growth from './growth.ts';
import intake from './intake.ts';
import rate from './rate.ts';
import scaling from './scaling.ts';
import single from './single.ts';
import start from './start.ts';

/** In the order in which `pnpm bench all` runs them. */
export const scenarios: readonly Scenario[] = [rate, scaling, intake, distance, single, growth, features, start];
