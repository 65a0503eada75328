import type { Installation, Statements } from '@bullpen/db';
import { createPublisher, publishParallelism, publishQueueSize, type queueBackend } from '@bullpen/queue';
import { crashPoint, createLoop, type Log, type Settings } from '@bullpen/runtime';
import type { Figures } from './figures.ts';
import { createMend } from './mend.ts';
import { publishOnce } from './publish.ts';
import { createReport } from './report.ts';

export interface PublishingDeps {
  statements: Statements;
  settings: Settings;
  backend: NonNullable<ReturnType<typeof queueBackend>>;
  installation: Installation;
  figures: Figures;
  log: Log;
}

/** What keeps the queues as full as they should be: the loop that publishes, and the one that finds what was lost. */
export function startPublishing({ statements, settings, backend, installation, figures, log }: PublishingDeps) {
  const { leaseMs, metricsWindowMs: windowMs } = settings;
  const parallelism = publishParallelism({ cpus: settings.cpus, override: settings.publishParallelism });
  const queueSize = publishQueueSize({ parallelism, batchSize: settings.publishChunkSize * settings.chunkSize });
  const publisher = createPublisher({
    backend,
    installationId: installation.id,
    partitions: installation.partitions,
    parallelism,
    jobsPerCall: settings.publishChunkSize,
    onAdded: () => crashPoint('between-adds'),
  });
  const report = createReport(log, { parallelism, queueSize, windowMs });
  const deps = { statements, publisher, settings: { leaseMs }, queueSize, report, figures, log };
  const once = async (): Promise<number> => {
    const nextMs = await publishOnce(deps);
    report.flush();
    return nextMs;
  };
  const publish = createLoop({ name: 'publish', log, once });
  const mendOnce = createMend(deps);
  const mend = createLoop({ name: 'mend', log, once: async () => (await mendOnce(), Math.min(1000, leaseMs / 5)) });
  return {
    publisher,
    sizes: { parallelism, queueSize },
    nudge: () => publish.nudge(),
    async stop(): Promise<void> {
      await Promise.all([publish.stop(), mend.stop()]);
      report.flush(true);
    },
  };
}
