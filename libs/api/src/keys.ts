import { z } from 'zod';
import { plainText } from './options.ts';
import { listOf } from './page.ts';
import { whole } from './whole.ts';

/** What a key allows. `admin` allows everything, and alone keys, limits of handlers and Bull Board. */
export const scopes = ['submit', 'read', 'control', 'admin'] as const;
export type Scope = (typeof scopes)[number];

/** `bp_<id>_<secret>`. */
export const apiKeyPattern = /^bp_([a-z0-9]{4,32})_[A-Za-z0-9]{32,128}$/;
/** An owner begins with a letter or a digit: `-` is ours. */
const ownerPattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** The body of `POST /v1/keys`. Left out or null: any number of requests, for ever, and the owner of all that came without a key. */
export const newKeySchema = z.strictObject(
  {
    name: z
      .string({ error: 'must be text' })
      .min(1, 'must not be empty')
      .max(100, 'must have at most 100 characters')
      .regex(plainText, { error: 'must not hold NUL or lone surrogates' }),
    scopes: z
      .array(z.enum(scopes, { error: `must be one of ${scopes.join(', ')}` }), { error: 'must be an array' })
      .min(1, 'must name a scope')
      .refine((given) => !Array.isArray(given) || new Set(given).size === given.length, 'names a scope twice'),
    owner: z
      .string({ error: 'must be text' })
      .regex(ownerPattern, 'must be 1 to 64 of a-z, 0-9, ".", "_", "-", the first a letter or a digit')
      .nullable()
      .default(null),
    requestsPerSecond: whole(1, 1_000_000).nullable().default(null),
    expiresAt: z.iso
      .datetime({ offset: true, error: 'must be a time such as 2027-01-31T18:00:00Z' })
      .refine((at) => !(Date.parse(at) <= Date.now()), 'is in the past')
      .nullable()
      .default(null),
  },
  { error: 'must be an object' },
);
export type NewKeyBody = z.input<typeof newKeySchema>;

/** A key, without its secret. */
export const keySchema = z.object({
  id: z.string(),
  name: z.string(),
  /** Whose batches it sees; null: those that were submitted without a key, or by keys without an owner. */
  owner: z.string().nullable(),
  scopes: z.array(z.enum(scopes)),
  /** In each second, of each producer; null: any number. */
  requestsPerSecond: z.number().int().nullable(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime().nullable(),
  revokedAt: z.iso.datetime().nullable(),
});
/** What its creation answers: the only time that `key` is shown. */
export const createdKeySchema = keySchema.extend({ key: z.string() });
export const keyListSchema = listOf(keySchema);

export type KeyAnswer = z.infer<typeof keySchema>;
export type CreatedKey = z.infer<typeof createdKeySchema>;
