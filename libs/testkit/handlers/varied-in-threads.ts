import { defineHandler } from '@bullpen/handlers';
import varied from './varied.ts';

export default defineHandler({ ...varied, name: 'varied-in-threads', threads: 2 });
