/** What became of an item in one run of its chunk. */
export const Item = { open: 0, succeeded: 1, acknowledged: 2, failed: 3, again: 4 } as const;

export interface ItemError {
  code: string;
  message: string;
}

const messageMax = 1000;

/** Any thrown value as code and message, bounded; a getter that throws does no harm. */
export function describeError(thrown: unknown): ItemError {
  try {
    if (thrown instanceof Error) {
      const code = (thrown as { code?: unknown }).code;
      return {
        code: typeof code === 'string' && code.length > 0 ? code.slice(0, 100) : 'error',
        message: String((thrown as { message: unknown }).message).slice(0, messageMax),
      };
    }
    return { code: 'error', message: String(thrown).slice(0, messageMax) };
  } catch {
    return { code: 'error', message: 'an error that cannot be read' };
  }
}

/**
 * An output as JSON text, or why it cannot be stored. JSON writes NaN and the infinities as null: inside an output that is
 * what everybody knows, but as the whole output it would be a result that is silently lost.
 */
export function encodeOutput(output: unknown, maxBytes: number): string | ItemError {
  try {
    if (typeof output === 'number' && !Number.isFinite(output))
      return { code: 'output-not-json', message: `${output} cannot be written as JSON` };
    const text = JSON.stringify(output) as string | undefined;
    if (text === undefined) return { code: 'output-not-json', message: `a ${typeof output} cannot be written as JSON` };
    // UTF-8 takes at most three bytes for a UTF-16 unit.
    if (text.length * 3 <= maxBytes) return text;
    const bytes = Buffer.byteLength(text);
    if (bytes <= maxBytes) return text;
    return { code: 'output-too-large', message: `the output has ${bytes} bytes, OUTPUT_MAX_BYTES allows ${maxBytes}` };
  } catch (error) {
    return { code: 'output-not-json', message: describeError(error).message };
  }
}
