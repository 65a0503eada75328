/** What is left to chance follows from it: `npm run test:faults -- --seed N`. Tests say it in their names. */
export const seed = Number(process.env['FAULTS_SEED'] || Date.now() % 1_000_000_000);
