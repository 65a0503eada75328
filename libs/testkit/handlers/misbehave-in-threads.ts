import { defineHandler } from '@bullpen/handlers';
import misbehave from './misbehave.ts';

export default defineHandler({ ...misbehave, name: 'misbehave-in-threads', threads: 2 });
