import { openServices } from '../../src/services/index.ts';

// A process that runs the servers on the folder it is given, tells its parent over IPC, and waits to be killed.
const [dataDir = '', mode = 'own'] = process.argv.slice(2);
const services = await openServices({
  dataDir,
  mode: mode as 'own' | 'join-or-own',
  queueBackend: 'redis',
  say: () => {},
});
process.send?.({ type: 'ready', services });
process.on('disconnect', () => process.exit(0));
