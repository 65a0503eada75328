/** The file of the process that runs suspects; scripts/build.mjs puts the built one in its place. */
export const processFile = new URL('./process.ts', import.meta.url);
