/** A value of ASN.1 as DER: tag, length, content. As much of X.509 as certificates for tests need. */
const value = (tag: number, ...parts: Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
};

export const sequence = (...parts: Uint8Array[]): Buffer => value(0x30, ...parts);
export const set = (...parts: Uint8Array[]): Buffer => value(0x31, ...parts);
export const octets = (content: Uint8Array): Buffer => value(0x04, content);
export const bits = (content: Uint8Array): Buffer => value(0x03, Buffer.of(0), content);
export const text = (words: string): Buffer => value(0x0c, Buffer.from(words));
export const yes = (): Buffer => value(0x01, Buffer.of(0xff));
/** A positive number, most significant byte first, without zeros before it. */
export const integer = (bytes: Uint8Array): Buffer => value(0x02, Buffer.from(bytes[0]! < 0x80 ? [] : [0]), bytes);
/** `[n]` around values, or in the place of the tag of one. */
export const around = (n: number, ...parts: Uint8Array[]): Buffer => value(0xa0 | n, ...parts);
export const inPlace = (n: number, content: Uint8Array): Buffer => value(0x80 | n, content);
/** GeneralizedTime: YYYYMMDDHHMMSSZ. */
export const time = (at: Date): Buffer => value(0x18, Buffer.from(`${at.toISOString().replace(/[-:T]|\..*/g, '')}Z`));

/** `1.2.840.10045.4.3.2` */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return value(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(number: number): number[] {
  const digits = [number & 0x7f];
  for (let rest = number >> 7; rest > 0; rest >>= 7) digits.unshift((rest & 0x7f) | 0x80);
  return digits;
}
