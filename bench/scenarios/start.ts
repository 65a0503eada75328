import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { interleave } from '../kit/interleave.ts';
import type { Bench, Report, Scenario } from '../kit/scenario.ts';
import { median } from '../kit/stats.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run$ = promisify(execFile);

const scenario: Scenario = {
  name: 'start',
  title: 'From a fresh clone and an empty home to the end of the demo, and every start after that',
  targets: ['P11'],
  takes: [],
  run,
};
export default scenario;

async function run(bench: Bench): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), 'bullpen-start-'));
  const clone = join(folder, 'clone');
  const env = { HOME: join(folder, 'home'), PATH: '/usr/bin:/bin', CI: 'true' };
  try {
    await mkdir(env.HOME);
    await run$('git', ['clone', '--quiet', root, clone]);
    const first = await interleave(
      bench,
      [{ label: 'npm run demo, the first time', measure: () => timed(clone, env, 'demo') }],
      1,
    );
    const next = await interleave(
      bench,
      [{ label: 'npm start, to ready', measure: () => timed(clone, env, 'start') }],
      bench.asked.runs,
    );
    const [demo, ready] = [first, next].map(([measured]) =>
      median(measured!.runs.map((figures) => figures['seconds']!)),
    );
    return {
      tables: [{ title: scenario.title, rows: [...first, ...next] }],
      verdicts: [
        { target: 'P11', asks: 'first demo ≤ 60 s', found: `${demo!.toFixed(1)} s`, ok: demo! <= 60 },
        { target: 'P11', asks: 'second start to ready ≤ 2 s', found: `${ready!.toFixed(2)} s`, ok: ready! <= 2 },
      ],
      remarks: [],
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Until the demo has ended, or the service says that it is ready; then it is stopped. */
async function timed(cwd: string, env: Record<string, string>, command: 'demo' | 'start') {
  const started = performance.now();
  const child = spawn(process.execPath, ['scripts/run.mjs', command], {
    cwd,
    env: { ...env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const ready = new Promise<void>((resolve) => {
    const hear = (bytes: Buffer): void => {
      said += String(bytes);
      if (command === 'start' && /^Ready after/m.test(said)) resolve();
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
  });
  const exited = once(child, 'exit');
  await (command === 'demo' ? exited : Promise.race([ready, exited]));
  const seconds = (performance.now() - started) / 1000;
  if (command === 'demo' && child.exitCode !== 0)
    throw new Error(`the demo ended with ${child.exitCode}:\n${said.slice(-2000)}`);
  if (command === 'start') {
    if (child.exitCode !== null) throw new Error(`the start ended with ${child.exitCode}:\n${said.slice(-2000)}`);
    child.kill('SIGINT');
    await exited;
  }
  return { seconds };
}
