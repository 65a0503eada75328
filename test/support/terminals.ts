import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { eventually } from '@bullpen/testkit';
import { missingLine } from './page.ts';

/** A terminal: what was typed into it runs one after the other, and all that it has shown stays. */
interface Terminal {
  shown: string;
  /** Where the output of the last command begins. */
  mark: number;
  running: ChildProcess | null;
}

/** Terminals by name, all in one folder and with one environment. */
export function openTerminals(folder: string, env: Record<string, string>) {
  const terminals = new Map<string, Terminal>();
  const open = (name: string): Terminal => {
    const terminal = terminals.get(name) ?? { shown: '', mark: 0, running: null };
    terminals.set(name, terminal);
    return terminal;
  };

  function start(terminal: Terminal, script: string) {
    // A group of its own, as a terminal gives to what it runs.
    const child = spawn('sh', ['-e', '-c', script], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    terminal.mark = terminal.shown.length;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (terminal.shown += text));
    terminal.running = child;
    return child;
  }

  return {
    /** Runs a script to its end; it has to be good. */
    async run(name: string, script: string): Promise<void> {
      const terminal = open(name);
      const [code] = (await once(start(terminal, script), 'close')) as [number | null];
      terminal.running = null;
      if (code !== 0) throw new Error(`it ended with ${code}:\n${script}\n${terminal.shown.slice(terminal.mark)}`);
    },
    /** Starts what serves until Ctrl-C. */
    serve: (name: string, script: string): void => void start(open(name), script),
    /** Waits until these lines have come, since the last command there or, of another terminal, at any time. */
    async shows(name: string, expected: string): Promise<void> {
      const terminal = open(name);
      const missing = () => missingLine(expected, terminal.shown.slice(terminal.mark));
      await eventually('the lines have come', () => missing() === null, 60_000).catch(() => {
        throw new Error(`terminal ${name} does not show: ${missing()}\nbut:\n${terminal.shown.slice(-4000)}`);
      });
    },
    async pressCtrlC(name: string): Promise<void> {
      const terminal = open(name);
      const child = terminal.running!;
      const closed = once(child, 'close');
      process.kill(-child.pid!, 'SIGINT');
      await closed;
      terminal.running = null;
    },
    /** For a test that failed in the middle. */
    closeAll(): void {
      for (const { running } of terminals.values()) {
        if (running?.pid !== undefined && running.exitCode === null) process.kill(-running.pid, 'SIGKILL');
      }
    },
  };
}
