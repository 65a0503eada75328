import type { LineFence } from '@bullpen/db';
import type { Settings } from '@bullpen/runtime';

type Broken = Settings['testBreakOrder'];

/** What keeps the order of groups and is left in place: a test leaves out one thing after the other, to see that it would notice. */
export const hasBarrier = (broken: Broken): boolean => broken !== 'barrier';

export const fenceLeft = (broken: Broken): LineFence => ({
  lease: broken !== 'lease' && broken !== 'fence',
  whole: broken !== 'fence',
});
