import { defineHandler } from '@bullpen/handlers';
import { z } from 'zod';
import { loadPools } from './import-user/ask.ts';
import { addMember, createCalls, createUser, listOrganisations, type UserContext } from './import-user/calls.ts';
import { knownOrganisations, organisationOf } from './import-user/organisations.ts';
import { addOutcome, emptyTally, type Imported, mergeTallies, type Planned, summaryOf } from './import-user/tally.ts';

const word = z
  .string()
  .trim()
  .min(1, { error: 'must not be empty' })
  .max(200, { error: 'must have at most 200 characters' });
const input = z.object({ email: z.email({ error: 'is no email address' }), name: word, organisation: word });
const params = z.object({
  /** Where the API is. */
  api: z.url({ protocol: /^https?$/, error: 'must be a URL, as http://127.0.0.1:4000' }),
});

/** Organisations that a worker remembers, of all APIs. */
const rememberedMax = 10_000;

/** What an organisation of this API is remembered under. */
const remembered = (ctx: Pick<UserContext, 'cache' | 'params'>) =>
  knownOrganisations(ctx.cache('organisations', { max: rememberedMax }), ctx.params.api);

export default defineHandler({
  name: 'import-user',
  description: 'Creates a user at {params.api} and adds it to its organisation (docs/workloads/import-user.md)',
  input,
  params,
  chunkSize: 100,

  /** Remembers the organisations that there are. Without them the import only takes a call more for each. */
  start: async (ctx) => {
    const known = remembered(ctx);
    try {
      await loadPools();
      await ctx.limit();
      for (const { name, id } of await listOrganisations(ctx, rememberedMax)) known.set(name, id);
    } catch (error) {
      ctx.log.warn({ error: (error as Error).message }, 'the organisations are not known before the first user');
    }
  },

  run: async ({ email, name, organisation }, ctx): Promise<Imported | Planned> => {
    const calls = createCalls(ctx);
    const { id, cached } = await organisationOf(organisation, remembered(ctx), calls);
    const userId = await createUser(calls, { email, name });
    await addMember(calls, id, userId);
    return { userId, organisationId: id, cached };
  },

  dryRun: ({ organisation }) => {
    const path = `/organisations/${encodeURIComponent(organisation)}`;
    return { would: [`GET ${path}, unless it is known`, 'POST /users', `POST ${path}/members`] };
  },

  reduce: {
    zero: emptyTally,
    add: addOutcome,
    merge: mergeTallies,
    summary: summaryOf,
  },
});
