import { z } from 'zod';

export const limitMax = 1000;

/** A page of a list. `nextCursor` is null on the last one. */
export const pageOf = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), nextCursor: z.string().nullable() });

/** `limit` as it stands in a query. */
export const limitSchema = (normal: number) =>
  z
    .string()
    .regex(/^([1-9][0-9]{0,2}|1000)$/, { error: `must be a whole number from 1 to ${limitMax}` })
    .transform(Number)
    .default(normal);

export const cursorSchema = z.string().max(300, { error: 'is no cursor of this list' }).optional();

/** An answer that lists all there is. */
export const listOf = <Item extends z.ZodType>(item: Item) => z.object({ items: z.array(item) });
