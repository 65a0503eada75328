import type { Options } from '@bullpen/api';
import type { Webhook } from '@bullpen/db';
import type { Settings } from '@bullpen/runtime';
import { HttpProblem } from '../http/problem.ts';
import { placeOf, whyNotUrl } from '../webhook/url.ts';

/** Whom the completion is to be told, or null. Throws the problem where the URL is none that is called. */
export function webhookOf(
  { webhook }: Options = {},
  { webhookAllowPrivate: allowPrivate }: Pick<Settings, 'webhookAllowPrivate'>,
): Webhook | null {
  if (webhook === undefined) return null;
  const why = whyNotUrl(webhook.url, { allowPrivate });
  if (why !== null)
    throw new HttpProblem('invalid', `The URL of the webhook ${why}`, {
      errors: [{ pointer: '/options/webhook/url', message: why }],
    });
  const url = new URL(webhook.url);
  url.hash = '';
  return { url: url.href, host: placeOf(url), secret: webhook.secret };
}
