export { checkRedis } from './check.ts';
export { createConsumers, type Consumer, type Consumers, type ProcessJob } from './consume.ts';
export { inspectRedis, type RedisFacts } from './inspect.ts';
export { type JobData, jobId, queueName } from './names.ts';
export { measureRedis } from './ping.ts';
export { type ChunkJob, createPublisher, type Publisher } from './publish.ts';
export { publishParallelism, publishQueueSize } from './sizing.ts';
