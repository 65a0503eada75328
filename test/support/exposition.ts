/** A sample of the text format: `name{label="value"} 12`. */
export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const nameForm = /^[a-z][a-z0-9_]*$/;
const sampleForm = /^([^\s{]+)(?:\{(.*)\})? (\S+)$/;
const labelForm = /([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/gy;

/** Reads the text format of Prometheus as strictly as its page says, and a little more: throws at what no scrape should see. */
export function readExposition(text: string): { types: Map<string, string>; samples: Sample[] } {
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  const seen = new Set<string>();
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  for (const line of text.split('\n')) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === 'TYPE' && types.has(name)) throw new Error(`twice: ${line}`);
    if (kind === 'TYPE') types.set(name, rest);
    if (kind !== undefined || line === '') continue;
    const sample = sampleOf(line);
    const key = `${sample.name}${JSON.stringify(sample.labels, Object.keys(sample.labels).toSorted())}`;
    if (seen.has(key)) throw new Error(`twice: ${line}`);
    seen.add(key);
    if (typeOf(sample.name, types) === undefined) throw new Error(`without a type: ${line}`);
    samples.push(sample);
  }
  return { types, samples };
}

function sampleOf(line: string): Sample {
  const [, name = '', inner = '', number = ''] = sampleForm.exec(line) ?? [];
  if (!nameForm.test(name)) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  let end = 0;
  for (const [part, label = '', value = ''] of inner.matchAll(labelForm)) {
    labels[label] = value;
    end += part.length;
  }
  const value = number === '+Inf' ? Infinity : Number(number);
  if (end !== inner.length || Number.isNaN(value)) throw new Error(`no sample: ${line}`);
  return { name, labels, value };
}

/** Also of the series of a histogram. */
const typeOf = (name: string, types: Map<string, string>): string | undefined =>
  types.get(name) ?? (types.get(name.replace(/_(bucket|sum|count)$/, '')) === 'histogram' ? 'histogram' : undefined);
