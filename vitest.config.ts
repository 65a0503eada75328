import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{apps,libs}/*/test/**/*.test.ts', '{bench,scripts}/test/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['libs/testkit/src/global-setup.ts'],
    reporters: ['default', './libs/testkit/src/closing-line.ts'],
    // Tests run real servers and processes on two cores: more files at once only slow each other down.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Whoever plants a bug looks in the message for what it broke.
    chaiConfig: { truncateThreshold: process.env['BULLPEN_PLANT'] === undefined ? 40 : 2000 },
  },
});
