import { z } from 'zod';

/** Visible ASCII, so that it is the same bytes for everybody who signs with it. */
const secretSchema = z
  .string({ error: 'must be a text of 16 to 200 visible ASCII characters' })
  .regex(/^[\x21-\x7e]{16,200}$/, { error: 'must be a text of 16 to 200 visible ASCII characters' });

/** Whom the completion of a batch is told. Which URLs are taken the producer says. */
export const newWebhookSchema = z.strictObject(
  {
    url: z.string({ error: 'must be an https URL' }).max(2000, { error: 'must have at most 2000 characters' }),
    /** Signs what is sent. No answer shows it. */
    secret: secretSchema,
  },
  { error: 'must be an object: {"url": "https://…", "secret": "…"}' },
);

/** What has come of it. */
export const webhookSchema = z.object({
  url: z.string(),
  /** `waiting`: for the completion, or for a try; `failed`: given up; `cancelled`: as the batch, nothing is sent. */
  state: z.enum(['waiting', 'delivered', 'failed', 'cancelled']),
  /** Tries of this completion. */
  attempts: z.number().int(),
  /** HTTP status of the last try; null where there was no answer. */
  lastStatus: z.number().int().nullable(),
  /** Why the last try was not taken. */
  lastError: z.string().nullable(),
});
