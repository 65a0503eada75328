import { isIP } from 'node:net';
import { z } from 'zod';

/** One setting: what it means to people (`about`, `unit`, `bounds`) and how its text is read (`read`). */
export interface Setting<Value> {
  about: string;
  unit: string;
  bounds: string;
  /** What `.env.example` shows; '' where the setting is unset by default. */
  shown: string;
  read: z.ZodType<Value, string | undefined>;
}

export const whole = (min: number, max: number, normal: number, unit: string, about: string): Setting<number> => ({
  about,
  unit,
  bounds: `${min}…${max}`,
  shown: String(normal),
  read: z
    .string()
    .optional()
    .transform((text, ctx) => {
      if (text === undefined) return normal;
      const value = Number(text);
      if (/^\d+$/.test(text) && value >= min && value <= max) return value;
      ctx.addIssue(`must be a whole number from ${min} to ${max} (${unit}), not "${text}"`);
      return z.NEVER;
    }),
});

export const wholeOrAuto = (min: number, max: number, unit: string, about: string): Setting<number | 'auto'> => {
  const number = whole(min, max, min, unit, about);
  return {
    ...number,
    bounds: `auto or ${number.bounds}`,
    shown: 'auto',
    read: z.union([z.undefined().transform(() => 'auto' as const), z.literal('auto'), number.read], {
      error: `must be "auto" or a whole number from ${min} to ${max} (${unit})`,
    }),
  };
};

export const optionalWhole = (min: number, max: number, unit: string, about: string): Setting<number | undefined> => ({
  ...whole(min, max, min, unit, about),
  shown: '',
  read: z.union([z.undefined(), whole(min, max, min, unit, about).read], {
    error: `must be a whole number from ${min} to ${max} (${unit})`,
  }),
});

export const flag = (normal: boolean, about: string): Setting<boolean> => ({
  about,
  unit: 'one of',
  bounds: 'true | false',
  shown: String(normal),
  read: z
    .enum(['true', 'false'], { error: 'must be true or false' })
    .optional()
    .transform((text) => (text === undefined ? normal : text === 'true')),
});

export const oneOf = <const Values extends readonly [string, ...string[]]>(
  values: Values,
  normal: Values[number],
  about: string,
): Setting<Values[number]> => ({
  about,
  unit: 'one of',
  bounds: values.join(' | '),
  shown: normal,
  read: z
    .string()
    .optional()
    .transform((text, ctx) => {
      const value = values.find((each) => each === (text ?? normal));
      if (value !== undefined) return value;
      ctx.addIssue(`must be one of ${values.join(', ')}, not "${text}"`);
      return z.NEVER;
    }),
});

export const text = (normal: string, unit: string, about: string): Setting<string> => ({
  about,
  unit,
  bounds: 'text',
  shown: normal,
  read: z.string().default(normal),
});

export const url = (protocols: readonly string[], about: string): Setting<string | undefined> => ({
  about,
  unit: 'url',
  bounds: protocols.map((each) => `${each}//…`).join(' or '),
  shown: '',
  read: z
    .string()
    .optional()
    .transform((value, ctx) => {
      if (value === undefined) return undefined;
      if (URL.canParse(value) && protocols.includes(new URL(value).protocol)) return value;
      // The value is not repeated: a connection URL holds a password.
      ctx.addIssue(`must be a URL that starts with ${protocols.map((each) => `${each}//`).join(' or ')}`);
      return z.NEVER;
    }),
});

export const apiKey = (about: string): Setting<string | undefined> => ({
  about,
  unit: 'key',
  bounds: 'bp_<id>_<secret>: 4…32 of a-z and 0-9, then 32…128 letters and digits',
  shown: '',
  read: z
    .string()
    // The value is not repeated.
    .regex(/^bp_[a-z0-9]{4,32}_[A-Za-z0-9]{32,128}$/, {
      error: 'must be bp_<id>_<secret>: 4 to 32 of a-z and 0-9, then 32 to 128 letters and digits',
    })
    .optional(),
});

const listed = (what: string, isOne: (text: string) => boolean) =>
  z
    .string()
    .optional()
    .transform((text, ctx) => {
      if (text === undefined) return undefined;
      const all = text.split(',').map((each) => each.trim().toLowerCase());
      const wrong = all.find((each) => !isOne(each));
      if (wrong === undefined) return all;
      ctx.addIssue(`must be ${what}, by comma, not "${wrong}"`);
      return z.NEVER;
    });

const isHost = (text: string): boolean => /^(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?$|^\[[0-9a-f:]+\]$/.test(text);

export const hosts = (about: string): Setting<string[] | undefined> => ({
  about,
  unit: 'names, by comma',
  bounds: 'without a port: bullpen.example.com',
  shown: '',
  read: listed('names without a port such as bullpen.example.com', isHost),
});

function isNetwork(text: string): boolean {
  const [address = '', bits] = text.split('/');
  const version = isIP(address);
  return version > 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)));
}

export const proxies = (about: string): Setting<string[] | undefined> => ({
  about,
  unit: 'addresses, by comma',
  bounds: 'addresses and networks such as 10.0.0.0/8, loopback, linklocal, uniquelocal',
  shown: '',
  read: listed(
    'addresses or networks such as 10.0.0.7 or 10.0.0.0/8, or loopback, linklocal, uniquelocal',
    (text) => ['loopback', 'linklocal', 'uniquelocal'].includes(text) || isNetwork(text),
  ),
});

/** `0-3,7` as [0, 1, 2, 3, 7]. */
export const ranges = (max: number, unit: string, about: string): Setting<number[] | undefined> => ({
  about,
  unit,
  bounds: `numbers and ranges up to ${max}, by comma: 0-3,7`,
  shown: '',
  read: z
    .string()
    .optional()
    .transform((text, ctx) => {
      if (text === undefined) return undefined;
      const numbers = new Set<number>();
      for (const part of text.split(',')) {
        const [, from, to = from] = /^\s*(\d{1,3})(?:-(\d{1,3}))?\s*$/.exec(part) ?? [];
        const fault = rangeFault(part.trim(), Number(from), Number(to), max);
        if (fault !== null) {
          ctx.addIssue(`${fault}, in "${text}"`);
          return z.NEVER;
        }
        for (let no = Number(from); no <= Number(to); no += 1) numbers.add(no);
      }
      return [...numbers].sort((a, b) => a - b);
    }),
});

function rangeFault(part: string, from: number, to: number, max: number): string | null {
  if (Number.isNaN(from)) return `must be numbers and ranges such as 0-3,7, not "${part}"`;
  if (from > to) return `has a range that is upside down: ${part}; write ${to}-${from}`;
  return to > max ? `must not go over ${max}: ${part}` : null;
}
