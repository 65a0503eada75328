import type { ItemContext, StartContext } from '@bullpen/handlers';
import { z } from 'zod';
import { ask, type Question } from './ask.ts';

interface Place {
  api: string;
}
export type UserContext = ItemContext<Place>;

/**
 * The calls of one item. The slot that it was started with is for a call that comes at once; each further one waits for its own, also the
 * first where the item has waited for something else: else what waited together would call together, and the API would see more than the limit.
 */
export function createCalls(ctx: UserContext) {
  let hasSlot = true;
  return {
    itemKey: ctx.itemKey,
    /** It has waited: its slot is over. */
    lapse: (): void => void (hasSlot = false),
    async call<Answer>(question: Question, schema: z.ZodType<Answer>): Promise<Answer> {
      if (!hasSlot) await ctx.limit();
      hasSlot = false;
      return ask(ctx.params.api, question, { schema, signal: ctx.signal });
    },
  };
}

export type Calls = ReturnType<typeof createCalls>;

/** Ids are texts or numbers, by the API. */
const idSchema = z.union([z.string(), z.number()]).transform(String);
const oneSchema = z.object({ id: idSchema });
const listSchema = z.array(z.object({ id: idSchema, name: z.string() }));

/** The first `limit` organisations. */
export const listOrganisations = ({ params }: StartContext<Place>, limit: number) =>
  ask(params.api, { method: 'GET', path: `/organisations?limit=${limit}` }, { schema: listSchema });

/** The id of the organisation of this name, which the API makes where there is none. */
export const findOrganisation = async (calls: Calls, name: string): Promise<string> =>
  (await calls.call({ method: 'GET', path: `/organisations/${encodeURIComponent(name)}` }, oneSchema)).id;

/** The id of the user, which is made once however often the item runs. */
export const createUser = async (calls: Calls, user: { email: string; name: string }): Promise<string> =>
  (await calls.call({ method: 'POST', path: '/users', body: user, key: calls.itemKey }, oneSchema)).id;

export const addMember = (calls: Calls, organisationId: string, userId: string): Promise<unknown> =>
  calls.call(
    {
      method: 'POST',
      path: `/organisations/${encodeURIComponent(organisationId)}/members`,
      body: { userId },
      key: `${calls.itemKey}:member`,
    },
    z.unknown(),
  );
