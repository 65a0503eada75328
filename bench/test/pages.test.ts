import { describe, expect, it } from 'vitest';
import type { Kept } from '../kit/kept.ts';
import { fillPage } from '../kit/pages.ts';

const kept: Kept = {
  name: 'rate',
  title: 'Rates',
  at: '2026-11-22T01:02:03.000Z',
  asked: { items: undefined, workers: undefined, runs: 3, quick: false },
  machine: {
    'load before': '0.94 (average of a minute)',
    cpu: 'a cpu',
    memory: '24 GiB',
    postgresql: '18.4',
    node: '20.20.2',
  },
  tables: [
    {
      title: 'CHUNK_SIZE: Items of a chunk',
      rows: [
        { label: '10', words: { lever: 'CHUNK_SIZE', seed: '20' }, runs: [{ 'items/s': 1000 }, { 'items/s': 3000 }] },
        { label: '1|000', words: { lever: 'CHUNK_SIZE', seed: '20' }, runs: [{ 'items/s': 30_000, ms: 2.5 }] },
      ],
    },
  ],
  verdicts: [{ target: 'P1', asks: 'more', found: '0.7 ×', ok: false }],
  remarks: [],
};
const page = 'Before.\n\n<!-- bench rate -->\nold\n<!-- /bench -->\n\nAfter.\n';

describe('the tables of a page', () => {
  it('stand between its marks, with the command that prints them', () => {
    expect(fillPage(page, new Map([['rate', kept]]))).toBe(`Before.

<!-- bench rate -->

\`pnpm bench rate\`, 2026-11-22, median of 3 runs, load before 0.94; a cpu, 24 GiB, PostgreSQL 18.4, Node 20.20.2.

**CHUNK_SIZE: Items of a chunk** · seed: 20

|  | items/s | ms |
| --- | ---: | ---: |
| 10 | 2 000 (1 000–3 000) | – |
| 1\\|000 | 30 000 | 2.50 |

<!-- /bench -->

After.
`);
  });

  it('are the same when they are written again, and stay where nothing was measured', () => {
    const filled = fillPage(page, new Map([['rate', kept]]));
    expect(fillPage(filled, new Map([['rate', kept]]))).toBe(filled);
    expect(fillPage(page, new Map())).toBe(page);
  });

  it('have only the columns that the marks name', () => {
    const some = '<!-- bench rate: ms -->\n<!-- /bench -->';
    const filled = fillPage(some, new Map([['rate', kept]]));
    expect(filled).toContain('|  | ms |\n| --- | ---: |\n| 1\\|000 | 2.50 |\n');
    expect(filled).not.toContain('| 10 |');
  });

  it('name the command with all that was asked of it', () => {
    const asked = { items: 1000, workers: 2, runs: 5, quick: true };
    expect(fillPage(page, new Map([['rate', { ...kept, asked }]]))).toContain(
      '`pnpm bench rate --quick --runs 5 --items 1000 --workers 2`, 2026-11-22, median of 5 runs',
    );
  });

  it('say of each target what was found', () => {
    const filled = fillPage('<!-- bench targets -->\n<!-- /bench -->', new Map([['rate', kept]]));
    expect(filled).toContain('| P1 | more | 0.7 × | **misses** | `pnpm bench rate` |');
  });
});
