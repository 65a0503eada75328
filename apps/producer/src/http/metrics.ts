import { sendText } from './answer.ts';
import type { HttpDeps } from './deps.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';

/** `GET /metrics`: the figures of this process and of the cluster, in the text format of Prometheus. */
export function showMetrics({ metrics }: Pick<HttpDeps, 'metrics'>): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    sendText(res, 200, metrics.contentType, await metrics.text());
  };
}
