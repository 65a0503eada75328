/** The file of the thread that reduces; scripts/build.mjs puts the built one in its place. */
export const threadFile = new URL('./thread.ts', import.meta.url);
