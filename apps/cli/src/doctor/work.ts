import type { SpaceFacts, WorkFacts } from '@bullpen/db';
import { countText, itemsText, rangesText, rateText } from '../text/numbers.ts';

import { bad, ok, warn, type Finding } from './finding.ts';

type Facts = WorkFacts['workers'][number]['facts'];

const lagWarnMs = 50;

/** Who works, and what nobody can or does. `lost`: chunks whose job BullMQ does not hold; null where it was not asked. */
export function judgeWork(facts: WorkFacts, lost: number | null): Finding[] {
  return [
    ...judgeWorkers(facts),
    ...facts.unknownHandlers.map(({ handler, batches, items }) =>
      bad(
        'handlers',
        `no live worker knows "${handler}": ${itemsText(items)} of ${itemsText(batches, 'batch', 'batches')} wait`,
        `HANDLERS=libs/handlers/src,<the folder of ${handler}> pnpm worker`,
      ),
    ),
    judgeChunks(facts.stranded, lost),
  ];
}

/** Whether the space of what was deleted comes back. */
export function judgeSpace({ overdue, ranges }: SpaceFacts): Finding {
  if (overdue === 0)
    return ok('space', `nothing that was deleted waits for long, ${itemsText(ranges, 'range')} of batches`);
  return warn(
    'space',
    `${itemsText(overdue, 'deleted batch', 'deleted batches')} still take space: no producer runs, or somebody reads in one long transaction`,
    'pnpm producer   (or end the transaction, such as a backup: it goes on by itself then)',
  );
}

function judgeWorkers({ workers, unowned, partitions, batchesRunning, itemsOpen }: WorkFacts): Finding[] {
  const live = workers.filter(({ draining }) => !draining);
  const open = `${itemsText(batchesRunning, 'batch', 'batches')} with ${itemsText(itemsOpen)} to do`;
  if (live.length === 0) {
    const judge = batchesRunning > 0 ? bad : warn;
    return [judge('workers', `none is live; ${open}`, 'pnpm worker')];
  }
  const found = `${itemsText(live.length, 'worker')} live, ${open}`;
  const late = live.filter(({ facts }) => lagOf(facts) > lagWarnMs);
  return [
    ok('workers', found),
    unowned.length === 0
      ? ok('partitions', `all ${countText(partitions)} are owned`)
      : bad('partitions', `${rangesText(unowned)} of ${partitions} are owned by nobody`, 'pnpm worker'),
    ...live.flatMap(({ name, facts }) => tunedOf(name, facts)),
    ...late.map(({ name, facts }) =>
      warn(
        'event loop',
        `of ${name} is up to ${Math.round(lagOf(facts))} ms late (p99; ${lagWarnMs} is much): its handlers compute for long`,
        'threads: 2   in the handler runs them beside the event loop; or let it pause now and then',
      ),
    ),
  ];
}

/** 0 where the worker does not say it. */
const lagOf = ({ lagP99Ms = 0 }: Facts): number => lagP99Ms;

/** What a worker has measured, and what it chose for it where its settings say `auto`. */
function tunedOf(name: string, facts: Facts): Finding[] {
  const { tuned, chunksMax, itemsPerSecond, roundTripMs } = facts;
  if (tuned === undefined) return [];
  const how = (auto: boolean): string => (auto ? 'auto' : 'set');
  const time = tuned.itemMs === 0 ? '' : `, ${tuned.itemMs} ms each`;
  return [
    ok(
      'limits',
      `${name}: ${itemsText(tuned.concurrencyMax)} in handlers (${how(tuned.concurrency)})${time}, ${itemsText(chunksMax, 'chunk')} in hand (${how(tuned.chunks)}), ` +
        `${itemsText(tuned.flushesMax, 'flush', 'flushes')} under way; PostgreSQL is ${roundTripMs.postgres} ms away, ${rateText(itemsPerSecond)} items/s now`,
    ),
  ];
}

function judgeChunks({ chunks, items }: WorkFacts['stranded'], lost: number | null): Finding {
  const remedy = 'pnpm producer   (a producer that runs sends them again within seconds)';
  if (chunks > 0) {
    const text = `${itemsText(chunks, 'chunk')} with ${itemsText(items)} run under workers that are gone`;
    return bad('chunks', text, remedy);
  }
  if (lost === null) return ok('chunks', 'none runs under a worker that is gone');
  if (lost > 0) return bad('chunks', `${itemsText(lost, 'chunk')} should stand in a queue and do not`, remedy);
  return ok('chunks', 'none is lost: each is in its queue or under a live worker');
}
