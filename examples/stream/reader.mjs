// Prints the results of a batch in the order of its items, while it runs, until it ends: node examples/stream/reader.mjs BATCH [AFTER]
// Stopped and run again with the last index that it printed as AFTER, it goes on behind that.
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

const [batch, after = '-1'] = process.argv.slice(2);
const url = process.env.BULLPEN_URL ?? 'http://127.0.0.1:3000';
let next = Number(after) + 1;
while (!(await readOn())) await sleep(500);

/** True: the batch has ended, and all of it is printed. */
async function readOn() {
  const place = next === 0 ? '' : `?after=${next - 1}`;
  const headers = { accept: 'application/x-ndjson' };
  const response = await fetch(`${url}/v1/batches/${batch}/results${place}`, { headers });
  if (!response.ok) throw new Error(await response.text());
  const hasEnded = response.headers.get('bullpen-complete') === 'true';
  const body = Readable.fromWeb(response.body);
  for await (const line of createInterface({ input: body })) {
    const { index } = JSON.parse(line);
    // Not final yet is the item before it, which may be of the same key: so this one has to wait. The last line of all has no index.
    if (!hasEnded && index !== next) {
      body.destroy();
      return false;
    }
    console.log(line);
    next = index + 1;
  }
  return hasEnded;
}
