import type { Handler } from '@bullpen/handlers';
import { describe, expect, it } from 'vitest';
import { type Gate, openGate } from '../src/limits/gate.ts';
import { prepare } from '../src/prepare.ts';
import { createMarks } from '../src/watchdog/marks.ts';
import { planOf } from './plan.ts';

describe('start', () => {
  const handlerOf = (start: NonNullable<Handler['start']>): Handler => ({
    name: 'h',
    description: 'h',
    start,
    run: () => 1,
  });

  it.each([true, false])('reads what limits its batch before its ctx.limit waits, limited: %s', async (limited) => {
    const calls: unknown[] = [];
    const gate: Gate = {
      ...openGate,
      refresh: async () => void calls.push('read'),
      further: async (n) => void calls.push(n),
      get limited() {
        return limited && calls.includes('read');
      },
    };
    const plan = planOf(
      handlerOf(async (ctx) => void (await ctx.limit(2), calls.push('after'))),
      { gate, scope: { gate } },
    );
    expect(await prepare(plan, 1, createMarks())).toBeNull();
    expect(calls).toEqual(limited ? ['read', 2, 'after'] : ['read', 'after']);
  });

  it('is called at once: what else is claimed meanwhile has nothing to do with it', () => {
    let began = false;
    void prepare(planOf(handlerOf(() => void (began = true))), 1, createMarks());
    expect(began).toBe(true);
  });
});
