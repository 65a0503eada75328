/** The file of the threads that run handlers; scripts/build.mjs puts the built one in its place. */
export const threadFile = new URL('./thread.ts', import.meta.url);
