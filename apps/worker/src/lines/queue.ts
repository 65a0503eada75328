/** First in, first out, at the same cost for any length: `shift` of an array of 100 000 moves all of them. */
export class Queue<Thing> {
  #things: (Thing | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#things.length - this.#head;
  }

  push(thing: Thing): void {
    this.#things.push(thing);
  }

  /** It comes before all others. */
  unshift(thing: Thing): void {
    if (this.#head === 0) return void this.#things.unshift(thing);
    this.#head -= 1;
    this.#things[this.#head] = thing;
  }

  first(): Thing | undefined {
    return this.#things[this.#head];
  }

  shift(): Thing | undefined {
    const thing = this.#things[this.#head];
    if (thing === undefined) return undefined;
    this.#things[this.#head] = undefined;
    this.#head += 1;
    if (this.#head > 1000 && this.#head * 2 > this.#things.length) {
      this.#things = this.#things.slice(this.#head);
      this.#head = 0;
    } else if (this.#head === this.#things.length) {
      this.#things.length = 0;
      this.#head = 0;
    }
    return thing;
  }
}
