const code = { quote: 0x22, comma: 0x2c, backslash: 0x5c, list: 0x5b, listEnd: 0x5d, object: 0x7b, objectEnd: 0x7d };

/** Where the elements of a JSON list begin in its text, and where one more would: so one can be parsed without the others. */
export function placesOf(list: string): number[] {
  const places = [list.indexOf('[') + 1];
  let depth = 0;
  for (let at = places[0]!; at < list.length; at += 1) {
    const char = list.charCodeAt(at);
    if (char === code.quote) at = endOfText(list, at);
    else if (char === code.list || char === code.object) depth += 1;
    else if (depth > 0 && (char === code.listEnd || char === code.objectEnd)) depth -= 1;
    else if (depth === 0 && (char === code.comma || char === code.listEnd)) places.push(at + 1);
  }
  return places;
}

export const elementOf = (list: string, places: readonly number[], at: number): unknown =>
  JSON.parse(list.slice(places[at], places[at + 1]! - 1));

/** Its closing quote: one before which the backslashes are pairs. */
function endOfText(list: string, quote: number): number {
  for (let end = list.indexOf('"', quote + 1); end > 0; end = list.indexOf('"', end + 1)) {
    let before = end - 1;
    while (list.charCodeAt(before) === code.backslash) before -= 1;
    if ((end - before) % 2 === 1) return end;
  }
  return list.length;
}
