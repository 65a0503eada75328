import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A process of ours, as a user would run it: the built file, production settings, its log lines kept. */
export interface App {
  name: string;
  pid: number;
  /** What it said when it was ready. */
  facts: Record<string, unknown>;
  /** Log lines with this message. */
  lines: (message: string) => Record<string, unknown>[];
  stop: () => Promise<void>;
}

export async function startApp(app: 'producer' | 'worker', name: string, env: NodeJS.ProcessEnv): Promise<App> {
  const entry = `${process.env['BULLPEN_BUILD']}/${app}.mjs`;
  const child = spawn(process.execPath, ['--enable-source-maps', entry], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const logged = collect(child);
  const [facts] = (await Promise.race([once(child, 'message'), failure(child, name, logged)])) as [App['facts']];
  return {
    name,
    pid: child.pid!,
    facts,
    lines: (message) => logged.filter(({ msg }) => msg === message),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'close');
    },
  };
}

async function failure(child: ChildProcess, name: string, logged: readonly object[]): Promise<never> {
  const [code] = (await once(child, 'exit')) as [number];
  throw new Error(
    `${name} ended with ${code} before it was ready:\n${logged
      .slice(-5)
      .map((each) => JSON.stringify(each))
      .join('\n')}`,
  );
}

/** Reads all that it logs; a line that is no JSON is kept as its message. */
function collect(child: ChildProcess): Record<string, unknown>[] {
  const logged: Record<string, unknown>[] = [];
  let rest = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) logged.push(parsed(line));
  });
  return logged;
}

function parsed(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return { msg: line };
  }
}
