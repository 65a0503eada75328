/** Installs what the benchmarks compare with, where it is not there. Resolves with a text for the user when that failed. */
export function installPeers(): Promise<string | null>;
