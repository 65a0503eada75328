/**
 * A seeded generator of numbers in [0, 1): sfc32 (Chris Doty-Humphrey, PractRand), 128 bits of state. The seed and the
 * stream fill the state through splitmix32, and 12 rounds mix them, so that neighbouring indexes share nothing. A stream is a whole
 * number up to 2^53: what is above 32 bits is mixed in where there is any, so that the others draw what they always drew.
 */
export function createRandom(seed: number, stream: number): () => number {
  const high = Math.floor(stream / 2 ** 32);
  let mix = (seed ^ Math.imul(stream, 0x9e3779b1) ^ Math.imul(high, 0x85ebca6b)) >>> 0;
  const next = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let t = Math.imul(mix ^ (mix >>> 16), 0x21f0aaad);
    t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
    return (t ^ (t >>> 15)) | 0;
  };
  let a = next();
  let b = next() ^ stream;
  let c = next() ^ seed;
  let counter = 1;
  const random = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4_294_967_296;
  };
  for (let round = 0; round < 12; round += 1) random();
  return random;
}
