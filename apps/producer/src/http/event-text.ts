import type { BatchEvent } from '@bullpen/api';
import type { ProgressRow } from '@bullpen/db';
import { toProgress } from './batch-answer.ts';
import { isSettled } from './batches.ts';

/** What a client has got: the last event of each kind, as a key that is equal where the event would be. */
export type Seen = Record<BatchEvent['event'], string>;

/** An id is both keys, so that a client that lost the connection between the two events of a snapshot gets the other. */
const separator = '~';

export function seenIn(lastEventId: string | string[] | undefined): Seen {
  const [state = '', progress = ''] = String(lastEventId ?? '').split(separator);
  return { state, progress };
}

/**
 * The events by which a batch differs from what was seen, and what is seen then. `over`: nothing will follow. The state
 * comes first, but at the end last: whoever waits for it has the final counts by then.
 */
export function nextEvents(
  row: ProgressRow,
  seen: Seen,
  { withProgress = true }: { withProgress?: boolean } = {},
): { text: string; seen: Seen; over: boolean; hasProgress: boolean } {
  const over = isSettled(row);
  const { state, reason, total, succeeded, failed, running } = row;
  const now: Seen = {
    state: [state, reason ?? ''].join('.'),
    progress: [state, total, succeeded, failed, running].join('.'),
  };
  const kinds = over ? (['progress', 'state'] as const) : (['state', 'progress'] as const);
  let text = '';
  const then = { ...seen };
  for (const kind of kinds) {
    if (now[kind] === seen[kind] || (kind === 'progress' && !withProgress && !over)) continue;
    then[kind] = now[kind];
    const data = kind === 'state' ? { state, stateReason: reason } : toProgress(row);
    text += `id: ${then.state}${separator}${then.progress}\nevent: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
  }
  return { text, seen: then, over, hasProgress: then.progress !== seen.progress };
}
