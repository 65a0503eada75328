import { defineHandler } from '@bullpen/handlers';
import misbehave from './misbehave-together.ts';

export default defineHandler({ ...misbehave, name: 'misbehave-together-in-threads', threads: 2 });
