import { defineHandler } from '@bullpen/handlers';
import timed from './timed.ts';

export default defineHandler({ ...timed, name: 'timed-in-threads', threads: 2 });
