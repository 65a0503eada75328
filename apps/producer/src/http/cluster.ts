import type { HandlerAnswer, PartitionAnswer, WorkerAnswer } from '@bullpen/api';
import type { PartitionRow, Statements, WorkerRow } from '@bullpen/db';
import type { Catalog, Handler } from '@bullpen/handlers';
import { errorFacts, type Log } from '@bullpen/runtime';
import { z } from 'zod';
import { sendJson } from './answer.ts';
import { toLimits } from './limits.ts';
import { noQuery, readQuery } from './query.ts';
import type { Route } from './resource.ts';

/** `GET /v1/handlers`: what batches can name, with JSON schemas of what goes in, made once, and what it is limited to now. */
export function listHandlers(handlers: Catalog, statements: Pick<Statements, 'handlerLimits'>, log: Log): Route {
  const described = [...handlers.values()].map((handler) => describe(handler, log));
  return async (req, res) => {
    readQuery(req, noQuery);
    const limits = new Map((await statements.handlerLimits()).map((limit) => [limit.handler, limit]));
    const items: HandlerAnswer[] = described.map((each) => ({ ...each, limits: toLimits(limits.get(each.name)) }));
    sendJson(res, { items });
  };
}

function describe(handler: Handler, log: Log): Omit<HandlerAnswer, 'limits'> {
  const schemaOf = (schema: z.ZodType | undefined): Record<string, unknown> | null => {
    try {
      return schema === undefined
        ? null
        : (z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>);
    } catch (error) {
      log.warn(
        { handler: handler.name, ...errorFacts(error) },
        'a schema of this handler cannot be shown as a JSON schema',
      );
      return {};
    }
  };
  const { name, description, chunkSize = null } = handler;
  const dryRun = handler.dryRun !== undefined;
  return { name, description, input: schemaOf(handler.input), params: schemaOf(handler.params), chunkSize, dryRun };
}

interface ClusterDeps {
  statements: Statements;
  settings: { leaseMs: number };
}

/** `GET /v1/workers`: those that were seen within a lease. */
export function listWorkers({ statements, settings: { leaseMs } }: ClusterDeps): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    sendJson(res, { items: (await statements.workers({ leaseMs })).map(toWorker) });
  };
}

const toWorker = ({ seen, facts, startedAt, ...row }: WorkerRow): WorkerAnswer => ({
  id: row.id,
  name: row.name,
  host: row.host,
  pid: row.pid,
  startedAt: startedAt.toISOString(),
  heartbeatAt: seen.toISOString(),
  concurrency: facts.tuned?.concurrencyMax ?? row.concurrency,
  chunksInFlight: facts.chunksInFlight,
  partitions: row.partitions,
  itemsDone: facts.itemsDone,
  itemsPerSecond: facts.itemsPerSecond,
  roundTripMs: facts.roundTripMs,
  draining: row.draining,
  pins: row.pins,
  pinsHeldBy: facts.pinsHeldBy ?? null,
  helping: row.helping,
  idle: facts.idle ?? null,
});

/** `GET /v1/partitions`: who owns each queue and what stands in it. */
export function listPartitions({ statements, settings: { leaseMs } }: ClusterDeps): Route {
  return async (req, res) => {
    readQuery(req, noQuery);
    sendJson(res, { items: (await statements.partitions({ leaseMs })).map(toPartition) });
  };
}

const toPartition = ({ owner, queued, oldestMs, ...row }: PartitionRow): PartitionAnswer => ({
  ...row,
  owner: owner?.id ?? null,
  ownerName: owner?.name ?? null,
  backlog: queued,
  oldestMs: oldestMs === null ? null : Math.max(0, Math.round(oldestMs)),
});
