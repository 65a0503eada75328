/** The watchdog's own file; scripts/build.mjs puts the built one in its place. */
export const threadFile = new URL('./thread.ts', import.meta.url);
