import type { HouseOptions } from './house.ts';

/** One position of a lever: what of the processes or of the batch is other than by default. */
export interface Point {
  label: string;
  env?: Record<string, string>;
  envOfWorker?: HouseOptions['envOfWorker'];
  options?: object;
}

export interface Lever {
  setting: string;
  title: string;
  /** Label of the point that is measured as the default. */
  normal: string;
  /** What the systems that this one grew from had: the number of the system, and its value. */
  seed: string;
  /** Of the items of a batch: in small chunks they take longer. Default all. */
  part?: number;
  points: Point[];
}

const ofEach = (values: readonly (number | string)[], name: string): Point[] =>
  values.map((value) => ({ label: String(value), env: { [name]: String(value) } }));

/** Chunks so small that what is paid for each of them is seen. */
const small = 50;
const publishing = 10;

const flushes: Point[] = [4000, 200, 100, 50].flatMap((items) =>
  [5, 500, 1000].map((ms) => ({
    label: `${items} × ${ms} ms`,
    env: { FLUSH_MAX_ITEMS: String(items), FLUSH_INTERVAL_MS: String(ms) },
    options: { chunkSize: small },
  })),
);

const publishes: Point[] = ['', '2'].flatMap((parallelism) =>
  [100, 1, 1000].map((jobs) => ({
    label: `${parallelism === '' ? 'cpus × 4' : parallelism} × ${jobs} jobs`,
    env: { PUBLISH_PARALLELISM: parallelism, PUBLISH_CHUNK_SIZE: String(jobs) },
    options: { chunkSize: publishing },
  })),
);

const partitionsOfWorker = 4;

/** Each is moved alone, with 3 workers and 12 partitions unless it says otherwise. */
export const levers: readonly Lever[] = [
  {
    setting: 'CHUNK_SIZE',
    title: 'Items of a chunk',
    normal: '1000',
    seed: '1: 10 → 20 · 3: 10, 100–500, 1 000, 5 000+',
    points: [1000, 10, 100, 5000].map((chunkSize) => ({ label: String(chunkSize), options: { chunkSize } })),
  },
  {
    setting: 'FLUSH_MAX_ITEMS × FLUSH_INTERVAL_MS',
    title: `Results that make a flush go, and how long they wait, in chunks of ${small} items`,
    normal: '4000 × 5 ms',
    seed: '1: 50 × 500 → 100 × 1 000',
    part: 1 / 4,
    points: flushes,
  },
  {
    setting: 'DATABASE_POOL_MAX',
    title: 'Connections of a process; 4 × 50 would be refused, since max_connections is 200',
    normal: '10',
    seed: '1: 50',
    points: ofEach([10, 3, 47], 'DATABASE_POOL_MAX'),
  },
  {
    setting: 'no setting',
    title: 'Whether the commits of workers wait for the disk',
    normal: 'only the last of a batch',
    seed: '1: all → none',
    points: [
      { label: 'only the last of a batch' },
      {
        label: 'all',
        envOfWorker: (_, { databaseUrl }) => ({ DATABASE_URL: `${databaseUrl}?synchronous_commit=on` }),
      },
    ],
  },
  {
    setting: 'PARTITIONS',
    title: 'Queues that the workers share',
    normal: '12',
    seed: '1: 1 → one a worker · 5: named → 161 000/s, not named → 2 200/s',
    points: ofEach([12, 1], 'PARTITIONS'),
  },
  {
    setting: 'WORKER_INDEX, WORKER_PARTITIONS',
    title: 'Who owns which partition',
    normal: 'fair share',
    seed: '1: index modulo count',
    points: [
      { label: 'fair share' },
      {
        label: 'round robin: 0, 3, 6, 9',
        envOfWorker: (at) => ({ WORKER_INDEX: String(at), WORKER_COUNT: '3' }),
      },
      {
        label: 'ranges: 0-3',
        envOfWorker: (at) => ({
          WORKER_PARTITIONS: `${at * partitionsOfWorker}-${(at + 1) * partitionsOfWorker - 1}`,
        }),
      },
    ],
  },
  {
    setting: 'CLAIM_JITTER_MS',
    title: 'Random wait before a claim',
    normal: '0',
    seed: '1: 0–500',
    points: ofEach([0, 500], 'CLAIM_JITTER_MS'),
  },
  {
    setting: 'PUBLISH_PARALLELISM × PUBLISH_CHUNK_SIZE',
    title: `Calls at once × jobs of a call, in chunks of ${publishing} items; 2 is the least that counts`,
    normal: 'cpus × 4 × 100 jobs',
    seed: '1: one by one → in parallel × 100 · 2: cpus × 2 → × 4',
    part: 1 / 4,
    points: publishes,
  },
];
