const units: Record<string, number> = {
  '': 1, B: 1, kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4,
  us: 0.001, ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000,
}; // prettier-ignore

/** `256MB` in bytes, `15min` in ms, `200` as it is; null where it is none of them. As PostgreSQL writes its settings. */
export function amountOf(text: string): number | null {
  const [, number = '', unit = ''] = /^(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text) ?? [];
  const factor = units[unit];
  return number === '' || factor === undefined ? null : Number(number) * factor;
}
