import type { RedisFacts } from '@bullpen/queue';
import { bytesText } from '../text/numbers.ts';
import { bad, ok, warn, type Finding } from './finding.ts';

const roundTripWarnMs = 20;
/** Of what may be full. */
const fullWarn = 0.9;
const clientsWarn = 0.8;

export function judgeRedis(facts: RedisFacts, roundTripMs: number, place: string, maxPercent: number): Finding[] {
  const found = `${facts.product} ${facts.version} at ${place}, ${roundTripMs} ms a round trip`;
  return [
    facts.replica
      ? bad('redis', `${found}; it is a replica and takes no writes`, 'let REDIS_URL point to the primary')
      : roundTripMs > roundTripWarnMs
        ? warn('redis', `${found}: jobs wait for it`, 'run the workers near it')
        : ok('redis', found),
    judgeMemory(facts, maxPercent),
    ...judgeClients(facts),
    ...(facts.savesFail
      ? [bad('redis disk', 'its last write to disk failed, so it refuses writes', 'df -h   and make room on its disk')]
      : []),
  ];
}

/** From `maxPercent` on the producer accepts nothing more (REDIS_MEMORY_MAX_PERCENT). */
function judgeMemory({ usedBytes, maxBytes, machineBytes }: RedisFacts, maxPercent: number): Finding {
  const limit = maxBytes > 0 ? maxBytes : machineBytes;
  const found = `${bytesText(usedBytes)} of ${bytesText(limit)}${maxBytes > 0 ? '' : ' (no maxmemory; the machine)'}`;
  const most = limit * (maxPercent / 100);
  if (limit === 0 || usedBytes < most * fullWarn) return ok('redis memory', found);
  const remedy = `redis-cli -u "$REDIS_URL" CONFIG SET maxmemory ${Math.ceil((usedBytes * 2) / 1024 ** 2)}mb   if the machine has it; nothing is lost while it is full, batches wait`;
  if (usedBytes < most) return warn('redis memory', found, remedy);
  return bad('redis memory', `${found}: nothing more is accepted`, remedy);
}

function judgeClients({ clients, clientsMax }: RedisFacts): Finding[] {
  if (clientsMax === null) return [];
  const found = `${clients} of ${clientsMax}`;
  if (clients < clientsMax * clientsWarn) return [ok('redis clients', found)];
  return [warn('redis clients', found, `redis-cli -u "$REDIS_URL" CONFIG SET maxclients ${clientsMax * 2}`)];
}
