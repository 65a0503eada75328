import { defineHandler } from '@bullpen/handlers';
import leaky from './leaky.ts';

export default defineHandler({ ...leaky, name: 'leaky-in-threads', threads: 1 });
