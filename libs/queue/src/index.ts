export { checkQueues, prepareQueues } from './check.ts';
export { createConsumers, type Consumer, type Consumers, type ProcessJob } from './consume.ts';
export { inspectRedis, type RedisFacts } from './inspect.ts';
export { type JobData, jobId, queueName } from './names.ts';
export { measureQueues } from './ping.ts';
export { type ChunkJob, createPublisher, type Publisher } from './publish.ts';
export { queueConnections, queueBackend, type QueueBackend, backendName } from './backend.ts';
export { publishParallelism, publishQueueSize } from './sizing.ts';
