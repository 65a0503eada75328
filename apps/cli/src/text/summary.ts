import type { Batch } from '@bullpen/api';
import { rateText } from './numbers.ts';
import { shortText, table, type Column } from './table.ts';

/** What is drawn of a team; the summary of `simulate` has such. */
interface Team {
  name: string;
  strategy: string;
  winRate: number;
  points: { mean: number; p5: number; p50: number; p95: number };
}

const bar = { min: 8, max: 30, full: '█', empty: '░' };
/** Lines of a summary that nobody can draw; --json shows all of it. */
const linesMax = 40;

/**
 * The summary of a batch for a person, on a terminal of that many columns: win rates as bars, or its JSON, or why there is
 * none. [] where there is nothing to tell.
 */
export function summaryLines(
  { summary, summaryError }: Pick<Batch, 'summary' | 'summaryError'>,
  columns: number,
): string[] {
  if (summaryError !== null) return [`No summary: ${shortText(summaryError, 300)}`];
  if (summary === null || summary === undefined) return [];
  if (typeof summary === 'object') {
    const teams = teamsOf(summary);
    if (teams !== null) return [...barLines(teams, columns), ...tiesLines(summary)];
  }
  const lines = (JSON.stringify(summary, null, 2) ?? '').split('\n').map((line) => shortText(line, 300));
  return lines.length <= linesMax ? lines : [...lines.slice(0, linesMax), '… (--json shows all)'];
}

function barLines(teams: readonly Team[], columns: number): string[] {
  // What the bars have is what the other columns leave of the line, one column apart from its end.
  const widest = Math.max(...table(columnsWith(''), teams).map((line) => line.length));
  const size = Math.min(bar.max, Math.max(bar.min, columns - 1 - widest + 'wins'.length));
  return table(columnsWith('x'.repeat(size)), teams).map((line) => line.slice(0, Math.max(0, columns - 1)));
}

function columnsWith({ length }: string): Column<Team>[] {
  const drawn = (share: number): string => {
    const full = Math.round(Math.min(1, Math.max(0, share)) * length);
    return bar.full.repeat(full) + bar.empty.repeat(length - full);
  };
  const number = (title: string, of: (team: Team) => number): Column<Team> => ({
    title,
    align: 'right',
    text: (team) => rateText(of(team)),
  });
  return [
    { title: 'team', text: ({ name }) => shortText(name, 16) },
    { title: 'strategy', text: ({ strategy }) => shortText(strategy, 24) },
    { title: 'wins', text: ({ winRate }) => drawn(winRate) },
    { title: '', align: 'right', text: ({ winRate }) => `${(winRate * 100).toFixed(1)}%` },
    number('points', ({ points }) => points.mean),
    number('p5', ({ points }) => points.p5),
    number('p50', ({ points }) => points.p50),
    number('p95', ({ points }) => points.p95),
  ];
}

const tiesLines = (summary: object): string[] => {
  const { ties, items } = summary as { ties?: unknown; items?: unknown };
  if (typeof ties !== 'number' || typeof items !== 'number' || ties === 0) return [];
  return [`ties: ${((ties / items) * 100).toFixed(1)}%`];
};

/** The teams of a summary that looks like that of `simulate`, else null: any handler may make any summary. */
function teamsOf(summary: object): Team[] | null {
  const { teams } = summary as { teams?: unknown };
  return Array.isArray(teams) && teams.length > 0 && teams.every(isTeam) ? teams : null;
}

function isTeam(value: unknown): value is Team {
  const { name, strategy, winRate, points } = (value ?? {}) as Record<string, unknown>;
  const numbers = [
    winRate,
    ...['mean', 'p5', 'p50', 'p95'].map((at) => (points as Record<string, unknown> | null)?.[at]),
  ];
  return typeof name === 'string' && typeof strategy === 'string' && numbers.every((each) => typeof each === 'number');
}
