import { defineHandler } from '@bullpen/handlers';
import rehearsed from './rehearsed.ts';

export default defineHandler({ ...rehearsed, name: 'rehearsed-in-threads', threads: 2 });
