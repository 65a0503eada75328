import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './root.mjs';

/** Runs this very Node in the root folder, on our terminal, and resolves with its exit code. */
export function runNode(args) {
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  const stopForwarding = forwardSignals(child);
  return new Promise((resolve) => {
    child.once('error', (error) => {
      console.error(`${process.execPath} could not be started: ${error.message}`);
      resolve(71); // EX_OSERR
    });
    child.once('exit', (code, signal) => {
      stopForwarding();
      resolve(signal ? 128 + constants.signals[signal] : code);
    });
  });
}

/**
 * Runs a program of ours in this very process, which saves a start of Node (0.2 s); it ends the process itself. A
 * SIGTERM that ended only npm's shell reaches it all the same.
 */
export async function runHere(file, args) {
  watchParent(() => process.kill(process.pid, 'SIGTERM'));
  process.setSourceMapsEnabled(true);
  process.chdir(ROOT);
  process.argv = [process.argv[0], file, ...args];
  await import(pathToFileURL(file).href);
  return new Promise(() => {});
}

/** Runs a package's program by its file, so that neither PATH nor the shell scripts in .bin play a part. */
export function runBin(name, args) {
  const owner = name === 'tsc' ? 'typescript' : name;
  const manifest = join(ROOT, 'node_modules', owner, 'package.json');
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8'));
  return runNode([join(dirname(manifest), typeof bin === 'string' ? bin : bin[name]), ...args]);
}

/** npm passes on the SIGINT that the terminal has sent to us as well: the same key press, within this time. */
const SAME_PRESS_MS = 100;

/**
 * The child sees one signal per key press or kill: a Ctrl-C reaches it from the terminal, as it does us, and is not sent a second
 * time; what someone sends to us alone is passed on. We end when the child has ended, not before.
 */
function forwardSignals(child) {
  let last = 0;
  const listeners = ['SIGINT', 'SIGTERM', 'SIGHUP'].map((signal) => {
    const listener = () => {
      if (signal !== 'SIGTERM' && fromTerminal()) return;
      if (Date.now() - last > SAME_PRESS_MS) child.kill(signal);
      last = Date.now();
    };
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  const watch = watchParent(() => child.kill('SIGTERM'));
  return () => {
    clearInterval(watch);
    listeners.forEach((remove) => remove());
  };
}

/**
 * A SIGTERM for npm or pnpm ends the shell that it put between itself and us, and never gets here: we would go on without them. So when
 * one of them started us, the end of that shell counts as the signal. Started by hand, we may well outlive the shell (nohup).
 */
function watchParent(onLost) {
  if (process.env.npm_lifecycle_event === undefined) return undefined;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    onLost();
  }, 250);
  watch.unref();
  return watch;
}

/** Whether we are the group in front on a terminal, to which its keys go. */
function fromTerminal() {
  try {
    // After the name in brackets: state, parent, group, session, terminal, the terminal's group in front.
    const stat = readFileSync('/proc/self/stat', 'utf8');
    const [, , group, , terminal, inFront] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return terminal !== '0' && group === inFront;
  } catch {
    return process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY || false;
  }
}
