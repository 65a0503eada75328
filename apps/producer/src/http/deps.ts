import type { Access } from '@bullpen/access';
import type { Installation, Statements } from '@bullpen/db';
import type { Catalog } from '@bullpen/handlers';
import type { Metrics } from '@bullpen/metrics';
import type { Log, Settings } from '@bullpen/runtime';
import type { Admission } from '../intake/admission.ts';
import type { Uploads } from '../intake/uploads.ts';
import type { Reducer } from '../reduce/reducer.ts';
import type { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import type { FollowerLimits } from './followers.ts';
import type { StreamLimits } from './result-stream.ts';

/** A queue as Bull Board wants it. */
type BoardQueue = ConstructorParameters<typeof BullMQAdapter>[0];

/** What the HTTP side is made of. It listens nowhere and reads no environment. */
export interface HttpDeps {
  /** Those that give up after some 4 s: a client waits. */
  statements: Statements;
  access: Access;
  handlers: Catalog;
  reducer: Reducer;
  uploads: Uploads;
  admission: Pick<Admission, 'admit' | 'took'>;
  settings: Pick<
    Settings,
    | 'chunkSize'
    | 'chunkMaxBytes'
    | 'maxChunksPerBatch'
    | 'maxItemsPerBatch'
    | 'leaseMs'
    | 'batchAutoEnabled'
    | 'batchMaxSize'
    | 'batchMaxDelayMs'
    | 'webhookAllowPrivate'
    | 'trustProxy'
  >;
  installation: Pick<Installation, 'partitions'>;
  log: Log;
  /** The queue of each partition, in order, for Bull Board. */
  queues: readonly BoardQueue[];
  /** A batch has committed: publish it. */
  onAccepted: () => void;
  /** A batch was deleted: give its space back. */
  onDeleted: () => void;
  /** What `/metrics` answers. */
  metrics: Pick<Metrics, 'contentType' | 'text'>;
  /** What is in the way of work, one line each; [] is ready. */
  readiness: () => Promise<readonly string[]>;
  newId?: (() => string) | undefined;
  /** In place of the bounds that stand where they are used. */
  limits?: (StreamLimits & FollowerLimits) | undefined;
  /** Aborted when the process drains: whoever waits for a batch is answered at once. */
  stopping?: AbortSignal | undefined;
}
