import { Refusal, type Settings } from '@bullpen/runtime';

/**
 * The partitions that the settings of this worker ask for, of 0…partitions − 1; null: it takes its fair share. Refuses
 * what does not exist here: only the database knows how many there are.
 */
export function pinsOf(
  settings: Pick<Settings, 'workerIndex' | 'workerCount' | 'workerPartitions'>,
  partitions: number,
): number[] | null {
  const { workerIndex: index, workerCount: count, workerPartitions: named } = settings;
  const all = Array.from({ length: partitions }, (_, no) => no);
  if (named !== undefined) {
    const missing = named.filter((no) => no >= partitions);
    if (missing.length === 0) return named;
    throw new Refusal(
      `WORKER_PARTITIONS names ${missing.join(', ')}, but this database has ${partitions} partitions: 0 to ${partitions - 1}`,
    );
  }
  if (index === undefined || count === undefined) return null;
  if (index < partitions) return all.filter((no) => no % count === index);
  throw new Refusal(
    `WORKER_INDEX ${index} of ${count} would have no partition, since this database has ${partitions}: lower WORKER_COUNT, or unset both and this worker helps others`,
  );
}
