import { Pool } from 'undici';

/** Connections to an API. With 200 ms a call they carry 640 calls a second; what is more waits for one. */
const connectionsMax = 128;
const pools = new Map<string, Pool>();

/** The connections to an origin, in this process. */
export function poolOf(origin: string): Pool {
  let pool = pools.get(origin);
  if (pool === undefined) pools.set(origin, (pool = new Pool(origin, { connections: connectionsMax })));
  return pool;
}
