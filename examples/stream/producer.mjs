// Appends a file of NDJSON lines to an open batch, so many in one append: node examples/stream/producer.mjs BATCH FILE [LINES]
// Run again it appends nothing twice: each append has a key of its own.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const [batch, file, atOnce = '1000'] = process.argv.slice(2);
const url = process.env.BULLPEN_URL ?? 'http://127.0.0.1:3000';
const lines = (await readFile(file, 'utf8')).split('\n').filter(Boolean);

// The order of a key is that of the appends: the next one goes when this one is answered.
for (let first = 0; first < lines.length; first += Number(atOnce)) {
  const body = lines.slice(first, first + Number(atOnce)).join('\n');
  const { firstIndex, count } = await append(body, `${batch}-${basename(file)}-${first}`);
  console.log(`${count} events, from index ${firstIndex} on`);
}

/** A connection that breaks leaves open whether it was stored, and a service that is busy says so: the same again, under the same key. */
async function append(body, key) {
  for (;;) {
    const headers = { 'content-type': 'application/x-ndjson', 'idempotency-key': key };
    const sending = fetch(`${url}/v1/batches/${batch}/items`, { method: 'POST', headers, body });
    const response = await sending.catch(() => null);
    if (response?.ok) return response.json();
    const mayPass = response === null || response.status >= 500 || response.headers.has('retry-after');
    if (!mayPass) throw new Error(await response.text());
    console.error(`${url} ${response === null ? 'cannot be reached (set BULLPEN_URL?)' : `answers ${response.status}`}: it is tried again`);
    await sleep(1000);
  }
}
