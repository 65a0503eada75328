const everyMs = 1000;

/**
 * Says a line of each kind at most once a second, and with the next one how many were left out: what goes wrong for one statement or
 * request goes wrong for hundreds. Kinds are few: error codes, not messages.
 */
export function createQuiet(
  say: (facts: Record<string, unknown>) => void,
  now: () => number = () => performance.now(),
) {
  const said = new Map<string, { at: number; unsaid: number }>();
  return (kind: string, facts: Record<string, unknown>): void => {
    const last = said.get(kind);
    if (last !== undefined && now() - last.at < everyMs) {
      last.unsaid += 1;
      return;
    }
    say({ ...facts, ...(last && last.unsaid > 0 ? { unsaid: last.unsaid } : {}) });
    said.set(kind, { at: now(), unsaid: 0 });
  };
}
