import type { Handler } from '@bullpen/handlers';
import { z } from 'zod';

/** JSON text of a cell; null: the property is left out. */
export type CellReader = (cell: string) => string | null;

interface JsonSchema {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
}

const asString: CellReader = (cell) => JSON.stringify(cell);

/**
 * How the cells of each column become JSON, by what the handler's schema wants there. Where it takes no string, a cell is the
 * number, boolean, list or object that it spells as JSON; what spells none stays a string, which the schema then refuses
 * by name. An empty cell is left out, unless a string is required there. Columns that the schema does not know are strings.
 */
export function createCellReaders({ input }: Pick<Handler, 'input'>): (column: string) => CellReader {
  const schema =
    input === undefined ? {} : (z.toJSONSchema(input, { io: 'input', unrepresentable: 'any' }) as JsonSchema);
  return (column) => {
    const property = Object.hasOwn(schema.properties ?? {}, column) ? schema.properties![column]! : null;
    if (property === null) return asString;
    const types = typesOf(property);
    const text = types.size === 0 || types.has('string');
    const required = schema.required?.includes(column) ?? false;
    if (text) return required ? asString : (cell) => (cell === '' ? null : JSON.stringify(cell));
    return (cell) => (cell === '' ? null : (jsonOf(cell, types) ?? JSON.stringify(cell)));
  };
}

function typesOf(schema: JsonSchema): Set<string> {
  const own = schema.type === undefined ? [] : [schema.type].flat();
  const values = [...(schema.enum ?? []), ...('const' in schema ? [schema.const] : [])].map(
    (value) => typeof value as string,
  );
  const inner = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])].flatMap((each) => [
    ...typesOf(each),
  ]);
  return new Set([...own, ...values, ...inner].map((type) => (type === 'integer' ? 'number' : type)));
}

function jsonOf(cell: string, types: ReadonlySet<string>): string | null {
  try {
    const value: unknown = JSON.parse(cell);
    const type = Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value;
    return types.has(type) ? cell : null;
  } catch {
    return null;
  }
}
