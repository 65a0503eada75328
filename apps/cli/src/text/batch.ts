import type { Batch } from '@bullpen/api';
import { doneOf, isOver, perSecond, tookMs } from '../batch.ts';
import { agoText, countText, durationText, itemsText, percentText, rateText } from './numbers.ts';
import { rateText as limitText } from '../rates.ts';
import { facts, shortText, table } from './table.ts';

/** One batch, for a person. */
export function batchFacts(batch: Batch, nowMs: number): string[] {
  const { counts } = batch;
  const pairs: [string, string][] = [
    ['batch', batch.id],
    ['handler', batch.options.dryRun ? `${batch.handler} (dry run)` : batch.handler],
    ['state', batch.stateReason ? `${batch.state} (${batch.stateReason})` : batch.state],
    [
      'items',
      `${countText(doneOf(batch))} of ${countText(counts.total)} done (${percentText(doneOf(batch), counts.total)})`,
    ],
    ['', countsText(batch)],
    ['created', `${batch.createdAt} (${agoText(batch.createdAt, nowMs)})`],
  ];
  const groups = groupsText(batch);
  if (groups !== '') pairs.push(['groups', groups]);
  const { notBefore } = batch.options;
  if (notBefore !== undefined) pairs.push(['starts', `not before ${notBefore}`]);
  const brakes = brakesText(batch);
  if (brakes !== '') pairs.push(['pauses', brakes]);
  if (batch.options.keepResults === 'failed') pairs.push(['keeps', 'failed results only']);
  const limits = limitsText(batch);
  if (limits !== '') pairs.push(['limits', limits]);
  if (batch.webhook !== null) pairs.push(['webhook', webhookText(batch.webhook)]);
  if (batch.name) pairs.splice(1, 0, ['name', shortText(batch.name, 100)]);
  const took = tookMs(batch);
  if (took !== null) pairs.push(['took', `${durationText(took)} (${rateText(perSecond(counts.total, took))} items/s)`]);
  else if (batch.itemsPerSecond) pairs.push(['speed', `${rateText(batch.itemsPerSecond)} items/s`]);
  if (batch.etaSeconds && !isOver(batch)) pairs.push(['left', durationText(batch.etaSeconds * 1000)]);
  return facts(pairs);
}

function brakesText({ options: { maxFailures, maxFailureRate, canary } }: Batch): string {
  return [
    ...(maxFailures === undefined ? [] : [`at ${countText(maxFailures)} failures`]),
    ...(maxFailureRate === undefined ? [] : [`above ${Number((maxFailureRate * 100).toPrecision(6))}% failures`]),
    ...(canary === undefined ? [] : [`after a canary of ${itemsText(canary)}`]),
  ].join('; ');
}

/** Why nothing of it starts, and what to do; null: it goes on. */
export function waitsText({ id, state, stateReason, options: { notBefore } }: Batch, nowMs: number): string | null {
  if (state === 'paused') return `paused (${stateReason ?? 'user'}): pnpm bullpen resume ${id}`;
  const starts = notBefore === undefined ? 0 : Date.parse(notBefore);
  return state === 'running' && starts > nowMs ? `starts ${notBefore}` : null;
}

function limitsText({ options: { rateLimit, concurrency, groupRateLimit } }: Batch): string {
  const cost = rateLimit === undefined || rateLimit.cost === 1 ? '' : `, ${rateLimit.cost} an item`;
  return [
    ...(rateLimit === undefined ? [] : [`${limitText(rateLimit)}${cost}`]),
    ...(concurrency === undefined ? [] : [`${concurrency} at once`]),
    ...(groupRateLimit === undefined ? [] : [`${limitText(groupRateLimit)} a group`]),
  ].join('; ');
}

function webhookText({ url, state, attempts, lastError }: NonNullable<Batch['webhook']>): string {
  const tries = attempts === 0 ? '' : `, ${attempts === 1 ? '1 try' : `${countText(attempts)} tries`}`;
  return `${state}${tries}: ${shortText(url, 100)}${lastError === null ? '' : ` (${shortText(lastError, 100)})`}`;
}

function groupsText({ options: { groupBy, ordered, groupConcurrency } }: Batch): string {
  if (groupBy === undefined) return '';
  const how = ordered === true ? ', in order' : groupConcurrency === undefined ? '' : `, ${groupConcurrency} at once`;
  return `by ${shortText(groupBy, 60)}${how}`;
}

const countsText = ({ counts }: Batch): string =>
  (['succeeded', 'failed', 'cancelled', 'running', 'pending'] as const)
    .filter((each) => counts[each] > 0 || each === 'succeeded')
    .map((each) => `${countText(counts[each])} ${each}`)
    .join(', ');

/** How a watch ends: `Completed: 100,000 items in 4.2 s (23,810 items/s), 12 failed.` */
export function endText(batch: Batch): string {
  const { counts, state } = batch;
  const took = tookMs(batch);
  const speed =
    took === null
      ? ''
      : ` in ${durationText(took)} (${rateText(perSecond(counts.total - counts.cancelled, took))} items/s)`;
  const failed = counts.failed > 0 ? `, ${countText(counts.failed)} failed` : '';
  if (state === 'completed') return `Completed: ${itemsText(counts.total)}${speed}${failed}.`;
  const did = `${countText(counts.succeeded)} succeeded${failed}, ${countText(counts.cancelled)} not run`;
  return `${state === 'cancelled' ? 'Cancelled' : state}: ${did}.`;
}

export const batchTable = (batches: readonly Batch[], nowMs: number): string[] =>
  table<Batch>(
    [
      { title: 'BATCH', text: ({ id }) => id },
      { title: 'HANDLER', text: ({ handler }) => handler },
      { title: 'STATE', text: ({ state }) => state },
      { title: 'DONE', align: 'right', text: (batch) => percentText(doneOf(batch), batch.counts.total) },
      { title: 'ITEMS', align: 'right', text: ({ counts }) => countText(counts.total) },
      { title: 'FAILED', align: 'right', text: ({ counts }) => countText(counts.failed) },
      { title: 'CREATED', align: 'right', text: ({ createdAt }) => agoText(createdAt, nowMs) },
      { title: 'NAME', text: ({ name }) => shortText(name ?? '', 40) },
    ],
    batches,
  );
