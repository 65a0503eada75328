import type { Statements } from '@bullpen/db';
import type { Figures } from '../publish/figures.ts';

/** The statements, of which those that accept tell how long they took and what they have stored. */
export function timeAccepts(statements: Statements, figures: Figures): Statements {
  const { totals } = figures;
  const timed =
    <Args extends readonly unknown[], Answer>(
      statement: (...args: Args) => Promise<Answer>,
      count: (answer: Answer, ...args: Args) => number,
    ) =>
    async (...args: Args): Promise<Answer> => {
      const startedAt = performance.now();
      const answer = await statement(...args);
      figures.observe('accept', performance.now() - startedAt);
      totals.accepted += count(answer, ...args);
      return answer;
    };
  const { acceptCount, acceptInputs, goLive, append, appendJobs } = statements;
  return {
    ...statements,
    acceptCount: timed(acceptCount, (_, batch) => batch.total),
    acceptInputs: timed(acceptInputs, (_, batch) => batch.total),
    goLive: timed(goLive, (isLive, { total, skipped }) => {
      if (!isLive) return 0;
      // They are final from the start, and failed.
      totals.failed += skipped;
      return total;
    }),
    append: timed(append, ({ first, ...given }, { chunks }) =>
      first === null || ('known' in given && given.known) ? 0 : chunks.reduce((sum, { size }) => sum + size, 0),
    ),
    appendJobs: timed(appendJobs, (placed) => placed?.length ?? 0),
  };
}
