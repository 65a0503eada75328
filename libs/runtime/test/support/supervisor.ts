import { supervise } from '../../src/supervise.ts';

// A supervisor for a test to kill. Its stubborn child ignores SIGTERM.
const args = ['--import', 'tsx', process.argv[2]!, 'stubborn'];
const child = supervise({ name: 'child', args, env: process.env, say: () => {}, drainTimeoutMs: 1_000 });
await child.ready;
process.send?.(child.pid());
