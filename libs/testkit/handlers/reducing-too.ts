import { defineHandler } from '@bullpen/handlers';
import reducing from './reducing.ts';

/** Another handler that reduces. */
export default defineHandler({ ...reducing, name: 'reducing-too' });
