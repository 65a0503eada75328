/** `ok`: as it should be. `warn`: works, and will trouble you. `bad`: something does not work, or will lose what was promised. */
export type Level = 'ok' | 'warn' | 'bad';

/** One line of the doctor's: what was looked at, what was found, and the command that mends it. */
export interface Finding {
  level: Level;
  check: string;
  found: string;
  remedy: string | null;
}

export const ok = (check: string, found: string): Finding => ({ level: 'ok', check, found, remedy: null });
export const warn = (check: string, found: string, remedy: string): Finding => ({
  level: 'warn',
  check,
  found,
  remedy,
});
export const bad = (check: string, found: string, remedy: string): Finding => ({ level: 'bad', check, found, remedy });
