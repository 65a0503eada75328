export interface Register {
  users: number;
  members: number;
  organisations: number;
  /** Users beyond the first of the same email. */
  doubled: number;
  /** Calls that an Idempotency-Key kept from making one more. */
  repeated: number;
  calls: number;
  refused: number;
  mostInASecond: number;
  /** From the first call to the last. */
  seconds: number;
}
export function createApi(options?: { rate?: number; latencyMs?: number; errors?: number; seed?: number }): {
  register: () => Register;
  calls: readonly number[];
  listen: (port?: number) => Promise<{ url: string; close: () => Promise<void> }>;
};
