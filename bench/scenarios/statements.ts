import { type BareDatabase, onBareDatabase } from '../kit/bare-database.ts';
import type { Bench, Measured, Report, Scenario } from '../kit/scenario.ts';
import { statementCosts } from '../kit/statement-cost.ts';
import { figure, median } from '../kit/stats.ts';
import { fillBacklog, holdSnapshot, settleChunks } from '../kit/worlds.ts';

const scenario: Scenario = {
  name: 'statements',
  title: 'What each statement costs: alone, in a backlog, and beside a transaction that was left open',
  targets: [],
  takes: [],
  isAside: true,
  run,
};
export default scenario;

const calls = 60;
/** From this factor on a statement is said to grow. */
const growing = 2;
/** Below so many ms two runs differ by as much. */
const tellable = 1;
const worlds = ['empty ms', 'backlog ms', 'old snapshot ms'] as const;

type Costs = Record<string, number>;

async function run(bench: Bench): Promise<Report> {
  const sizes = bench.asked.quick ? { chunksOfBatch: 100, changes: 21_000 } : { chunksOfBatch: 1000, changes: 100_000 };
  const rows = new Map<string, Measured>();
  for (let run = 0; run < bench.asked.runs; run += 1) {
    const costs = await inAllWorlds(bench, sizes);
    for (const name of Object.keys(costs[0]!)) {
      const row = rows.get(name) ?? { label: name, runs: [] };
      rows.set(name, {
        ...row,
        runs: [...row.runs, Object.fromEntries(worlds.map((world, at) => [world, costs[at]![name]!]))],
      });
    }
  }
  const { chunksOfBatch, changes } = sizes;
  const title = `Median ms of ${calls} calls: an empty database · 1 000 batches of ${figure(chunksOfBatch)} chunks · the same after ${figure(changes)} changes of chunks beside an old snapshot`;
  return { tables: [{ title, rows: [...rows.values()] }], verdicts: [], remarks: [...rows.values()].flatMap(growth) };
}

/** What the statements cost in each world, in the order of `worlds`. */
async function inAllWorlds(
  bench: Bench,
  { chunksOfBatch, changes }: { chunksOfBatch: number; changes: number },
): Promise<Costs[]> {
  const empty = await onBareDatabase(bench, 1, (database) => statementCosts(database, calls));
  bench.say('the empty database is measured');
  const others = await onBareDatabase(bench, 1, async (database) => {
    await fillBacklog(database, chunksOfBatch);
    bench.say('the backlog stands');
    const backlog = await statementCosts(database, calls);
    return [backlog, await besideSnapshot(bench, database, changes)];
  });
  return [empty, ...others];
}

async function besideSnapshot({ servers, say }: Bench, database: BareDatabase, changes: number): Promise<Costs> {
  const release = await holdSnapshot(servers, database.url);
  try {
    await settleChunks(database.sql, changes);
    say(`${figure(changes)} changes that nothing can clean away`);
    return await statementCosts(database, calls);
  } finally {
    await release();
  }
}

/** Where a statement takes more than twice as long as in the world before. */
function growth({ label, runs }: Measured): string[] {
  const ms = worlds.map((world) => median(runs.map((figures) => figures[world]!)));
  return [1, 2].flatMap((at) => {
    const factor = ms[at]! / ms[at - 1]!;
    if (factor < growing || ms[at]! < tellable) return [];
    return [
      `${label} grows: ${figure(ms[at - 1]!)} → ${figure(ms[at]!)} ms, ${factor.toFixed(1)} ×, ${worlds[at]!.replace(/ ms$/, '')}`,
    ];
  });
}
