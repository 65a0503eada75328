import { publishParallelism, publishQueueSize } from '@bullpen/queue';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

describe('publishParallelism', () => {
  // The table of seed 2, capped at 512.
  it.each([
    [8, 16, 32, 48, 64],
    [16, 32, 64, 96, 128],
    [32, 64, 128, 192, 256],
    [64, 128, 256, 384, 512],
    [128, 256, 512, 512, 512],
  ])('%i cpus: 2 × %i, 4 × %i, 6 × %i, 8 × %i', (cpus, two, four, six, eight) => {
    const sizes = [2, 4, 6, 8].map((perCpu) => publishParallelism({ cpus, perCpu }));
    expect(sizes).toEqual([two, four, six, eight]);
    expect(publishParallelism({ cpus })).toBe(four);
  });

  it('takes an override instead, within the same bounds', () => {
    expect(publishParallelism({ cpus: 32, override: 256 })).toBe(256);
    expect(publishParallelism({ cpus: 32, override: 1 })).toBe(2);
    expect(publishParallelism({ cpus: 32, override: 9999 })).toBe(512);
  });

  it('is within 2…512 and grows with the cpus', () => {
    const cpus = fc.integer({ min: 1, max: 4096 });
    fc.assert(
      fc.property(cpus, cpus, fc.option(fc.integer({ min: 0, max: 100_000 }), { nil: undefined }), (a, b, override) => {
        const [less, more] = [
          publishParallelism({ cpus: Math.min(a, b), override }),
          publishParallelism({ cpus: Math.max(a, b), override }),
        ];
        expect(less).toBeGreaterThanOrEqual(2);
        expect(more).toBeLessThanOrEqual(512);
        expect(less).toBeLessThanOrEqual(more);
      }),
    );
  });
});

describe('publishQueueSize', () => {
  it('is parallelism × batch size, and 262 144 for 750 000 heights', () => {
    expect(publishQueueSize({ parallelism: 8, batchSize: 1000 })).toBe(8000);
    expect(publishQueueSize({ parallelism: 128, batchSize: 750_000 })).toBe(262_144);
    expect(publishQueueSize({ parallelism: 2, batchSize: 1 })).toBe(4096);
  });

  it('is within 4 096…262 144 and grows with both', () => {
    const parallelism = fc.integer({ min: 2, max: 512 });
    const batchSize = fc.integer({ min: 0, max: 10_000_000 });
    fc.assert(
      fc.property(parallelism, batchSize, parallelism, batchSize, (p, b, morep, moreb) => {
        const less = publishQueueSize({ parallelism: p, batchSize: b });
        const more = publishQueueSize({ parallelism: Math.max(p, morep), batchSize: Math.max(b, moreb) });
        expect(less).toBeGreaterThanOrEqual(4096);
        expect(more).toBeLessThanOrEqual(262_144);
        expect(less).toBeLessThanOrEqual(more);
      }),
    );
  });
});
