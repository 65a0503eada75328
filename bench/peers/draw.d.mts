export function draw(spec: object): Promise<string>;
