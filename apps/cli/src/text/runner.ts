/**
 * Texts name commands the way pnpm takes them. Who has only npm, as on a machine with nothing but Node, is told the
 * commands of npm; `-s` keeps npm's own lines out of what is piped on.
 */
let spell = (text: string): string => text;

/** Once, at the start: npm and pnpm say in the environment which of them it is. */
export function setRunner(env: Readonly<Record<string, string | undefined>>): void {
  const pnpm = env['npm_config_user_agent']?.startsWith('pnpm') ?? false;
  spell = pnpm ? (text) => text : forNpm;
}

export const asTyped = (text: string): string => spell(text);

export const forNpm = (text: string): string =>
  text
    .replaceAll(/pnpm bullpen(?= )/g, 'npm run -s bullpen --')
    .replaceAll(/pnpm (worker|producer)(?= --)/g, 'npm run $1 --')
    .replaceAll(/pnpm (dev|worker|producer|db:migrate)/g, 'npm run $1');
