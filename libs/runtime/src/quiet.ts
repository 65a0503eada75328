const everyMs = 1000;

/**
 * Says at most `most` lines of each kind within a second, and with the next one how many were left out (`unsaid`): what goes wrong for one
 * statement or request goes wrong for hundreds. Kinds are few: error codes, not messages.
 */
export function createQuiet(
  say: (facts: Record<string, unknown>) => void,
  { most = 1, now = () => performance.now() }: { most?: number; now?: () => number } = {},
) {
  const said = new Map<string, { times: number[]; unsaid: number }>();
  return (kind: string, facts: Record<string, unknown>): void => {
    const last = said.get(kind) ?? { times: [], unsaid: 0 };
    const times = last.times.filter((at) => now() - at < everyMs);
    if (times.length >= most) {
      last.unsaid += 1;
      return;
    }
    say({ ...facts, ...(last.unsaid > 0 ? { unsaid: last.unsaid } : {}) });
    said.set(kind, { times: [...times, now()], unsaid: 0 });
  };
}
