export const plants: Record<
  string,
  { what: string; file: string; from: string; to: string; caught: string; says: RegExp }
>;
