// The same item in every system: some cpu, then an output of about 45 bytes.
export function simulate(seed, iterations) {
  let x = (seed * 2654435761) >>> 0 || 1;
  let hits = 0;
  for (let k = 0; k < iterations; k += 1) {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    if ((x & 1023) < 37) hits += 1;
  }
  return hits;
}

export const outputOf = (index, iterations) => {
  const score = 100_000 + simulate(index, iterations);
  return { score, turns: index % 13, winner: `team${score % 4}` };
};

/** Stores rows in groups: `add` resolves when its row is committed. */
export function buffered({ insert, done, most = 1000, waitMs = 5 }) {
  let waiting = [];
  let timer = null;
  async function flush() {
    clearTimeout(timer);
    timer = null;
    const batch = waiting;
    waiting = [];
    await insert(batch.map(({ index, output }) => ({ index, status: 1, attempt: 1, output })));
    done(batch.length);
    for (const { resolve } of batch) resolve();
  }
  return (index, output) =>
    new Promise((resolve) => {
      waiting.push({ index, output, resolve });
      if (waiting.length >= most) void flush();
      else timer ??= setTimeout(() => void flush(), waitMs);
    });
}

/** As one JSON text a statement: the fastest form that all peers can use. */
export const insertJson = (sql) => (rows) =>
  sql`insert into peer_results (index, status, attempt, output)
      select index, status, attempt, output from json_to_recordset(${JSON.stringify(rows)}::text::json) as r(index int, status smallint, attempt smallint, output json)`;
