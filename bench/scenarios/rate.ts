import { copyRows } from '../kit/copy.ts';
import type { House } from '../kit/house.ts';
import { inHouse, params, workersText } from '../kit/in-house.ts';
import { interleave } from '../kit/interleave.ts';
import { type PeerName, runPeer } from '../kit/peer.ts';
import { phasesOf } from '../kit/phases.ts';
import { pushesPerSecond } from '../kit/redis.ts';
import type { Bench, Measured, Report, Scenario, Variant } from '../kit/scenario.ts';
import { median } from '../kit/stats.ts';
import { factor } from '../kit/verdicts.ts';

/** Items that each peer gets: about as long as ours gets. */
const itemsOf = { sketch: 1_000_000, bullmq: 60_000, 'pg-boss': 100_000, 'graphile-worker': 100_000, groupmq: 40_000 };

const scenario: Scenario = {
  name: 'rate',
  title: 'End to end: items without work of their own, one result row each',
  targets: ['P1'],
  run,
};
export default scenario;

async function run(bench: Bench): Promise<Report> {
  const { quick, items = quick ? 300_000 : 1_000_000 } = bench.asked;
  const counts = bench.asked.workers === undefined ? [1, 3] : [bench.asked.workers];
  const remarks: string[] = [];
  const how = new Map<string, string>();
  const ours = counts.map((workers): Variant => ({
    label: `Bullpen, ${workersText(workers)}`,
    measure: () => inHouse(bench, { workers }, (house) => echo(house, items, remarks)),
  }));
  const copy: Variant = {
    label: 'the limit: COPY of the same rows',
    measure: () => inHouse(bench, { workers: 0 }, async (house) => ({ 'items/s': await copyRows(house, items) })),
  };
  const redis: Variant = {
    label: 'Redis: LPUSH of 100 bytes, 50 in a pipeline',
    measure: async () => ({ 'commands/s': await pushesPerSecond(bench.servers.redisUrl) }),
  };
  const peers = counts.flatMap((workers) => peerVariants(bench, workers, how));
  const rows = await interleave(bench, [...ours, copy, ...peers, redis]);
  return { tables: [{ title: scenario.title, rows }], verdicts: verdictsOf(rows), remarks: [...remarks, ...told(how)] };
}

/** The first batch of new processes, then another: the one in which they are warm. */
async function echo(house: House, items: number, remarks: string[]) {
  const first = await house.run({ handler: 'echo', count: items, params });
  const ran = await house.run({ handler: 'echo', count: items, params });
  const { figures, limit } = phasesOf(house, ran);
  remarks.push(`${workersText(house.workers.length)}: ${limit}`);
  return { 'items/s': ran.itemsPerSecond, 'first/s': first.itemsPerSecond, ...figures };
}

/** How each of the others does the work. */
const told = (how: ReadonlyMap<string, string>): string[] => [...how].map(([name, kept]) => `${name}: ${kept}`);

function peerVariants({ servers, asked }: Bench, workers: number, how: Map<string, string>): Variant[] {
  const names: PeerName[] = asked.quick ? ['sketch', 'bullmq'] : (Object.keys(itemsOf) as PeerName[]);
  return names.map((name) => ({
    label: `${name}, ${workersText(workers)}`,
    measure: async () => {
      const items = asked.quick ? itemsOf[name] * 0.3 : itemsOf[name];
      const { itemsPerSecond, firstPerSecond, submittedPerSecond, kept } = await runPeer(servers, name, {
        items,
        workers,
        iterations: 0,
      });
      how.set(name, kept);
      return { 'items/s': itemsPerSecond, 'first/s': firstPerSecond, 'handed over/s': submittedPerSecond };
    },
  }));
}

function verdictsOf(rows: readonly Measured[]) {
  const rate = (label: string): number => Math.max(0, ...rows.filter((row) => row.label.startsWith(label)).map(rateOf));
  const ours = rate('Bullpen');
  const peers = ['bullmq', 'pg-boss', 'graphile-worker', 'groupmq'].filter((name) => rate(name) > 0);
  const best = Math.max(...peers.map(rate));
  const others = peers.length > 1 ? 'the best peer' : `${peers[0]}, the only peer of this run`;
  return [
    factor('P1', '≥ 0.80 × raw COPY of the same rows, the better of 1 and 3 workers', ours / rate('the limit'), 0.8),
    factor('P1', `≥ 10 × ${others}`, ours / best, 10),
    factor('P1', 'keeps up with the sketch', ours / rate('sketch'), 1),
  ];
}

const rateOf = ({ runs }: Measured): number => median(runs.map((figures) => figures['items/s'] ?? 0));
