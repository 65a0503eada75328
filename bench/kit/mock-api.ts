import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Register } from '../../examples/import-user/api.mjs';

const file = fileURLToPath(new URL('../../examples/import-user/api.mjs', import.meta.url));

/** The API of import-user in a process of its own, whose loop nothing else holds up. */
export async function startMockApi(options: { rate: number; latencyMs: number }) {
  const args = ['--port', '0', '--rate', String(options.rate), '--latency', String(options.latencyMs)];
  const child = spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const [line] = (await Promise.race([once(child.stdout, 'data'), exited])) as [Buffer | number];
  const [url] = /http:\/\/[\d.:]+\d/.exec(String(line)) ?? [];
  if (url === undefined) throw new Error(`the API of import-user did not start: ${String(line)}`);
  return {
    url,
    register: async (): Promise<Register> => (await (await fetch(`${url}/register`)).json()) as Register,
    async stop(): Promise<void> {
      child.kill();
      await exited;
    },
  };
}
