import type { Client } from '@bullpen/api';
import { Failure } from './failure.ts';

/** For the argument of a command that takes a batch. */
export const idArgument = 'the batch; last is the newest one';

/** The id that was given, or that of the newest batch for `last`. */
export async function batchIdOf(client: Client, id: string): Promise<string> {
  if (id !== 'last') return id;
  const [newest] = (await client.listBatches({ limit: 1 })).items;
  if (newest === undefined) throw new Failure('There is no batch yet.');
  return newest.id;
}
