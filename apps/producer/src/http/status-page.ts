import type { Batch } from '@bullpen/api';
import type { Statements } from '@bullpen/db';
import { callerOf } from './access.ts';
import { sendText } from './answer.ts';
import { toBatch } from './batch-answer.ts';
import { contentPolicy } from './headers.ts';
import { escapeHtml, page } from './html.ts';
import type { Route } from './resource.ts';

const batchesShown = 20;
const refreshSeconds = 2;
const links = [
  '/docs',
  '/queues',
  '/v1/batches',
  '/v1/handlers',
  '/v1/workers',
  '/v1/partitions',
  '/v1/keys',
  '/metrics',
  '/readyz',
  '/livez',
];

/** `GET /`: what there is and what runs, without a script, until there is a dashboard. */
export function showStatus({
  statements,
  settings: { leaseMs },
}: {
  statements: Statements;
  settings: { leaseMs: number };
}): Route {
  return async (req, res) => {
    const [rows, workers] = await Promise.all([
      statements.batches({ owner: callerOf(req).owner, kind: 'batch', limit: batchesShown }),
      statements.workers({ leaseMs }),
    ]);
    res.setHeader('Content-Security-Policy', contentPolicy.page);
    sendText(
      res,
      200,
      'text/html; charset=utf-8',
      statusPage(
        rows.map((row) => toBatch(row)),
        workers.length,
      ),
    );
  };
}

function statusPage(batches: readonly Batch[], workers: number): string {
  return page({
    title: 'Bullpen',
    head: `<meta http-equiv="refresh" content="${refreshSeconds}">\n`,
    body: `<h1>Bullpen</h1>
<nav>${links.map((path) => `<a href="${path}">${path}</a>`).join('\n')}</nav>
<p>${workers} ${workers === 1 ? 'worker' : 'workers'}. The newest ${batchesShown} batches:</p>
<table>
<thead><tr><th>Batch</th><th>Handler</th><th>State</th><th>Progress</th><th>Rate</th><th>Created</th></tr></thead>
<tbody>
${batches.length === 0 ? '<tr><td colspan="6">None yet: npm run demo submits one.</td></tr>' : batches.map(rowOf).join('\n')}
</tbody>
</table>`,
  });
}

function rowOf(batch: Batch): string {
  const label = batch.name ?? batch.id;
  const rate = batch.itemsPerSecond === null ? '' : `${Math.round(batch.itemsPerSecond)}/s`;
  const cells = [escapeHtml(batch.handler), batch.state, progressText(batch), rate, batch.createdAt];
  return `<tr><td><a href="/v1/batches/${batch.id}">${escapeHtml(label)}</a></td>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
}

/** `420 of 1000 (42 %), 3 failed`: never 100 % before the last one. */
export function progressText({ counts: { total, succeeded, failed, cancelled } }: Batch): string {
  const done = succeeded + failed;
  const percent = Math.floor((100 * done) / total);
  return `${done} of ${total} (${percent} %)${failed > 0 ? `, ${failed} failed` : ''}${cancelled > 0 ? `, ${cancelled} cancelled` : ''}`;
}
