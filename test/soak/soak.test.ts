import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, openTrial, startHouse } from '@bullpen/testkit';
import { expect, test } from 'vitest';
import { createFaults } from './faults.ts';
import { judge } from './judge.ts';
import { startLoad } from './load.ts';
import { planOf } from './plan.ts';

/** `npm run soak -- --minutes N --seed S --rate R` */
const minutes = Number(process.env['SOAK_MINUTES'] || 0);
const seed = Number(process.env['SOAK_SEED'] || Date.now() % 1_000_000_000);
const rate = Number(process.env['SOAK_RATE'] || 7000);
const lengthMs = minutes * 60_000;
const tellMs = 30_000;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

test.skipIf(minutes === 0)(
  `nothing is lost, doubled or stuck in ${minutes} minutes of faults with seed ${seed}`,
  async () => {
    const house = await startHouse({
      workers: 3,
      ownServers: true,
      proxied: true,
      env: { HANDLERS: 'libs/handlers/src,libs/testkit/handlers', DATABASE_POOL_MAX: '6' },
    });
    try {
      const trial = openTrial(house);
      const load = startLoad(trial, seed, rate);
      const faults = createFaults(house);
      const begun = performance.now();
      const seconds = (): number => Math.round((performance.now() - begun) / 1000);
      const told = setInterval(() => {
        const doing = faults.windows.filter(({ to }) => to === Infinity).map(({ kind }) => kind);
        say(
          `${seconds()} s: ${faults.windows.length} faults, ${load.accepted()} items accepted, now: ${doing.join(', ') || 'nothing wrong'}`,
        );
      }, tellMs);
      const underWay: Promise<void>[] = [];
      for (const fault of planOf(seed, lengthMs)) {
        await sleep(fault.afterMs);
        underWay.push(faults.provoke(fault));
      }
      await Promise.all(underWay);
      await load.stop();
      clearInterval(told);
      say(`${seconds()} s: no more faults and no more work; what was accepted is waited for`);
      const stuck = load.faults;
      const judged = await judge(house, { trial, singles: load.singles, windows: faults.windows });
      const kinds = faults.windows.filter(({ isWhole }) => isWhole).map(({ kind }) => kind);
      say(textOf(judged, kinds, seconds()));
      for (const stray of judged.strays) say(`  I7 ${JSON.stringify(stray)}`);
      expect([...stuck, ...judged.faults]).toEqual([]);
      expect(judged.repeats.outside).toBe(0);
      await eventually('nothing is left to do', async () => (await house.request('/readyz')).status === 200);
    } finally {
      await house.stop();
    }
  },
  lengthMs + 30 * 60_000,
);

function textOf(
  { items, faults, repeats, executions }: Awaited<ReturnType<typeof judge>>,
  kinds: readonly string[],
  seconds: number,
): string {
  const of = (pattern: RegExp): number => faults.filter((line) => pattern.test(line)).length;
  const byKind = [...new Set(kinds)].sort().map((kind) => `${kinds.filter((each) => each === kind).length} × ${kind}`);
  return [
    `soak of ${seconds} s with seed ${seed}`,
    `faults       ${kinds.length}: ${byKind.join(', ')}`,
    `items        ${items} final`,
    `lost         ${of(/^(I1|I4|I12)/)}`,
    `doubled      ${of(/^(I1, I2|I7)/)}; of ${executions} runs that were watched ${repeats.within} ran once more after a fault that may lose what ran, ${repeats.outside} else`,
    `stuck        ${of(/^I5/)}`,
    ...faults.map((line) => `  ${line}`),
  ].join('\n');
}
