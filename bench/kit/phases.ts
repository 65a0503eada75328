import { availableParallelism } from 'node:os';
import type { House, Ran } from './house.ts';
import type { Figures } from './scenario.ts';

const cores = availableParallelism();

const sum = (lines: readonly Record<string, unknown>[], name: string): number =>
  lines.reduce((total, line) => total + Number(line[name] ?? 0), 0);

/**
 * Where the time of a run went: what the producer and the workers logged in windows, as ms per 10 000 items, waits (all but `run`) and work apart; cpu by
 * process; and what was short. Windows are written every METRICS_WINDOW_MS, so a run has to last some of them.
 */
export function phasesOf(house: House, ran: Ran): { figures: Figures; limit: string } {
  const windows = house.workers.flatMap((worker) => worker.lines('window'));
  const items = sum(windows, 'items');
  const published = house.producer.lines('published');
  const scheduled = sum(published, 'scheduled') + sum(published, 'already');
  const per10k = (name: string): number => (items === 0 ? 0 : (sum(windows, name) / items) * 10_000);
  const per10kPublished = (name: string): number => (scheduled === 0 ? 0 : (sum(published, name) / scheduled) * 10_000);
  const seconds = (name: string): number =>
    Object.entries(ran.usage).reduce(
      (total, [who, taken]) => (who.startsWith(name) ? total + taken.cpuSeconds : total),
      0,
    );
  const rss = (name: string): number =>
    Math.max(0, ...Object.entries(ran.usage).map(([who, taken]) => (who.startsWith(name) ? taken.rssMb : 0)));
  const used = { worker: seconds('worker'), postgres: seconds('postgres'), producer: seconds('producer') };
  const busy = (used.worker + used.postgres + used.producer) / ran.seconds;
  const [most] = Object.entries(used).sort(([, a], [, b]) => b - a)[0]!;
  return {
    figures: {
      'accept ms': ran.acceptMs,
      'mark ms/10k': per10kPublished('markMs'),
      'publish ms/10k': per10kPublished('addMs'),
      'claim ms/10k': per10k('claimWaitMs'),
      'run ms/10k': per10k('handlerMs'),
      'flush ms/10k': per10k('flushWaitMs'),
      'cpu worker': used.worker / ran.seconds,
      'cpu postgres': used.postgres / ran.seconds,
      'cpu producer': used.producer / ran.seconds,
      'MB worker': rss('worker'),
      'MB producer': rss('producer'),
    },
    limit:
      busy > 0.85 * cores
        ? `cpu: ${busy.toFixed(2)} of ${cores} cores, most of it ${most}`
        : `waiting: ${busy.toFixed(2)} of ${cores} cores are used`,
  };
}
