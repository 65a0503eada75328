import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What a metric reads: one value, or one for each value of its label; null is not known now, and left out. */
type Reading = number | null | Iterable<readonly [label: string, value: number | null]>;

export interface Metric {
  /** `bullpen_…` with its base unit; of a counter with `_total`. */
  name: string;
  help: string;
  /** Of a metric with several series. Its values are ours and few: never an id, never a word of whoever submits. */
  label?: string;
  /** Asked at each scrape. */
  read: () => Reading;
}

/** Seconds: from a claim beside the server to where a statement is ended. */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * The metrics of a process, as Prometheus reads them. Counters and gauges are read from figures that are kept anyway, and only when
 * somebody asks. Histograms are told by statement and by chunk, never by item: 0.3 µs each.
 */
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  const preparations: (() => Promise<void>)[] = [];
  let running: Promise<string> | null = null;

  async function write(): Promise<string> {
    await Promise.all(preparations.map((prepare) => prepare()));
    return registry.metrics();
  }

  return {
    /** With the version of the format. */
    contentType: registry.contentType,

    counter: ({ name, help, label, read }: Metric): void => {
      const labelNames = label === undefined ? [] : [label];
      const collect = (): void => {
        counter.reset();
        for (const [labels, value] of series(label, read())) counter.inc(labels, value);
      };
      const counter: Counter = new Counter({ name, help, labelNames, registers, collect });
    },

    gauge: ({ name, help, label, read }: Metric): void => {
      const labelNames = label === undefined ? [] : [label];
      const collect = (): void => {
        gauge.reset();
        // It would be 0, though nobody knows.
        if (label === undefined) gauge.remove();
        for (const [labels, value] of series(label, read())) gauge.set(labels, value);
      };
      const gauge: Gauge = new Gauge({ name, help, labelNames, registers, collect });
    },

    /** How long something takes, in a histogram. Answers who is to be told of it, in ms. */
    time(name: string, help: string): (ms: number) => void {
      const histogram = new Histogram({ name, help, buckets, registers });
      return (ms) => histogram.observe(ms / 1000);
    },

    /** How long these phases take, in a histogram with a series for each. Answers who is to be told of it, in ms. */
    phases<Phase extends string>(phases: readonly Phase[]): (phase: Phase, ms: number) => void {
      const name = 'bullpen_phase_duration_seconds';
      const help = 'Time of a phase of the work on chunks; its count is how many there were';
      const histogram = new Histogram({ name, help, buckets, registers, labelNames: ['phase'] });
      for (const phase of phases) histogram.zero({ phase });
      return (phase, ms) => histogram.observe({ phase }, ms / 1000);
    },

    /** Run before each scrape, for what several metrics read. It may not throw. */
    prepare: (prepare: () => Promise<void>): void => void preparations.push(prepare),

    /** All of it as text. However many ask at once, it is made once. */
    text: (): Promise<string> => (running ??= write().finally(() => (running = null))),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;

function* series(
  label: string | undefined,
  reading: Reading,
): Iterable<[labels: Record<string, string>, value: number]> {
  if (typeof reading === 'number') yield [{}, reading];
  else if (reading !== null && label !== undefined)
    for (const [value, number] of reading) if (number !== null) yield [{ [label]: value }, number];
}
