export { createMetrics, type Metrics } from './metrics.ts';
export { addPoolMetrics, addProcessMetrics, type PoolFigures, type ProcessFigures } from './process-metrics.ts';
