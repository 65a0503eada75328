import { joinTexts } from '@bullpen/db';

/** Outputs as a settled chunk has them. */
export const texts = (outputs: readonly unknown[]): string =>
  joinTexts(outputs.map((output) => JSON.stringify(output)));
