import type { Recommended } from '@bullpen/runtime';
import { amountOf } from './amounts.ts';
import { bad, ok, warn, type Finding } from './finding.ts';

/** Off, these lose what was promised; the others cost speed or time. */
const vital = new Set(['fsync', 'full_page_writes', 'maxmemory-policy']);

/** A server's settings against those that are recommended: one line when all fit, else one for each that does not. */
export function judgeSettings(
  server: 'postgres' | 'redis',
  found: Readonly<Record<string, string | null>>,
  recommended: readonly Recommended[],
): Finding[] {
  const known = recommended.filter(({ name }) => typeof found[name] === 'string');
  const wrong = known.filter((each) => !fits(found[each.name]!, each));
  if (wrong.length === 0) {
    const unseen = recommended.length - known.length;
    const rest = unseen === 0 ? '' : `, ${unseen} cannot be read`;
    return [ok(`${server} settings`, `${known.length} are as recommended${rest}`)];
  }
  return wrong.map((each) => {
    const text = `${found[each.name]}; ${each.rule === 'at least' ? 'at least ' : ''}${each.value} is recommended: ${each.why}`;
    const judge = vital.has(each.name) ? bad : warn;
    return judge(`${server} ${each.name}`, text, remedyOf(server, each));
  });
}

function fits(found: string, { rule, value }: Recommended): boolean {
  if (rule === 'exactly') return found === value;
  const [has, needs] = [amountOf(found), amountOf(value)];
  return has !== null && needs !== null && has >= needs;
}

function remedyOf(server: 'postgres' | 'redis', { name, value, restart }: Recommended): string {
  if (server === 'redis')
    return `redis-cli -u "$REDIS_URL" CONFIG SET ${name} ${value}   (and in its configuration file)`;
  const change = `psql "$DATABASE_URL" -c "ALTER SYSTEM SET ${name} = '${value}'"`;
  return restart ? `${change}   and restart PostgreSQL` : `${change} -c "SELECT pg_reload_conf()"`;
}

/** What our sessions ask for at their start. A pooler between that drops it shows here. */
export const sessionSettings = { jit: 'off', plan_cache_mode: 'force_custom_plan', synchronous_commit: 'on' } as const;

export function judgeSession(found: Readonly<Record<string, string | null>>): Finding {
  const lost = Object.entries(sessionSettings).filter(([name, value]) => found[name] !== value);
  if (lost.length === 0) return ok('postgres session', 'has what Bullpen asks for (jit, plans, commits)');
  return bad(
    'postgres session',
    `does not have what Bullpen asked for: ${lost.map(([name, value]) => `${name} is ${found[name]}, not ${value}`).join(', ')}`,
    'let DATABASE_URL point to PostgreSQL itself, or to a pooler in session mode that passes start-up parameters on',
  );
}
