// A client in a process of its own: node client.mjs WHAT … with one line of JSON as its answer.
//   upload URL LINES   NDJSON lines of 112 bytes to URL, as fast as they are taken
//   heights URL COUNT OPTIONS  NDJSON lines {"height":N} from 0 on, as fast as they are taken; OPTIONS is the header Bullpen-Options
//   groups URL ITEMS GROUPS HOT   NDJSON lines of about 100 bytes, each with the key of one of GROUPS; and HOT more of one group, evenly between
//   append URL ITEMS GROUPS AT-ONCE   the same lines to an open batch, in appends of 5 000, so many at once, each with keys of its own
//   download URL MB/s  reads URL to its end, at most so fast; 0: as fast as it comes
//   readers URL COUNT KB/s   so many read URL at once, each at most so fast, until the process is ended
//   posts URL COUNT AT-ONCE BODY   COUNT requests, so many at once; times in ms, sorted
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const [what, url, ...args] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 1000 });
const started = performance.now();
const answer = await { upload, heights, groups, append, download, readers, posts }[what](...args);
// A pipe takes 64 KiB at once: what an exit would leave behind is written first.
process.stdout.write(JSON.stringify({ ms: performance.now() - started, ...answer }), () => process.exit());

async function upload(lines) {
  const pad = 'x'.repeat(80);
  return send(Number(lines), (index) => `{"id":${1_000_000_000 + index},"name":"${pad}"}\n`);
}

async function heights(count, options) {
  return send(Number(count), (height) => `{"height":${height}}\n`, { 'bullpen-options': options });
}

/** The keys come in no order. */
async function groups(items, groupCount, hot) {
  const total = Number(items) + Number(hot);
  return send(total, (index) => {
    const isHot = Math.floor(((index + 1) * hot) / total) > Math.floor((index * hot) / total);
    return keyedLine(isHot ? 'hot' : `user-${scrambled(index) % Number(groupCount)}`, index);
  });
}

/** Each of those that append waits for its answer before it appends again: a key's order is that of its appends. */
async function append(items, groupCount, atOnce) {
  const perAppend = 5000;
  const appenders = Number(atOnce);
  const keysOfEach = Math.max(1, Math.floor(Number(groupCount) / appenders));
  const run = randomUUID();
  let next = 0;
  async function appendOn(appender) {
    while (next < Number(items)) {
      const first = next;
      next = Math.min(Number(items), first + perAppend);
      let body = '';
      for (let index = first; index < next; index += 1)
        body += keyedLine(`user-${appender + appenders * (scrambled(index) % keysOfEach)}`, index);
      const headers = { 'content-type': 'application/x-ndjson', 'idempotency-key': `${run}-${first}` };
      const { status, text } = await post({ headers, body });
      if (status !== 202) throw new Error(`${status} ${text}`);
    }
  }
  await Promise.all(Array.from({ length: appenders }, (_, appender) => appendOn(appender)));
  return { items: next };
}

/**
 * No two lines are alike: what is stored is compressed no better than what people send. `ref` has 16 letters: texts of ten and fewer go
 * into a table when JSON is parsed, where a million different ones took a fifth of the worker.
 */
function keyedLine(key, index) {
  const cities = ['Aachen', 'Bergen', 'Cuxhaven', 'Dresden', 'Erfurt', 'Freiburg', 'Göttingen', 'Husum'];
  const noise = scrambled(index);
  const more = scrambled(noise);
  const ref = hex(noise) + hex(more);
  return `{"key":"${key}","id":${1_000_000_000 + index},"amount":${(more % 100_000) / 100},"city":"${cities[noise >>> 29]}","ref":"${ref}","ms":1}\n`;
}

/** 32 bits that look random (the finalizer of murmur3). */
function scrambled(number) {
  let bits = Math.imul(number ^ (number >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

function hex(bits) {
  return bits.toString(16).padStart(8, '0');
}

async function send(lines, lineOf, more = {}) {
  const perPart = 5000;
  const sending = request(url, { method: 'POST', headers: { 'content-type': 'application/x-ndjson', ...more } });
  const answered = answerOf(sending);
  let bytes = 0;
  for (let first = 0; first < lines; first += perPart) {
    let part = '';
    for (let index = first; index < Math.min(lines, first + perPart); index += 1) part += lineOf(index);
    bytes += Buffer.byteLength(part);
    if (!sending.write(part)) await once(sending, 'drain');
  }
  sending.end();
  const { status, text } = await answered;
  if (status !== 202) throw new Error(`${status} ${text}`);
  return { bytes, id: JSON.parse(text).id };
}

/** Says `reading` when each has its first bytes. */
async function readers(count, kbPerSecond) {
  const first = [];
  const all = Array.from({ length: Number(count) }, () => {
    let begun;
    first.push(new Promise((resolve) => (begun = resolve)));
    return download(Number(kbPerSecond) / 1024, begun);
  });
  await Promise.all(first);
  console.log('reading');
  await Promise.all(all);
}

async function download(mbPerSecond, begun = () => undefined) {
  const asking = request(url, { headers: { accept: 'application/x-ndjson' } }).end();
  const [response] = await once(asking, 'response');
  let bytes = 0;
  for await (const part of response) {
    bytes += part.length;
    begun();
    const due = Number(mbPerSecond) === 0 ? 0 : (bytes / 2 ** 20 / Number(mbPerSecond)) * 1000;
    const early = due - (performance.now() - started);
    if (early > 5) await sleep(early);
  }
  return { bytes };
}

async function posts(count, atOnce, body) {
  const times = [];
  let left = Number(count);
  async function postOn() {
    while (left > 0) {
      left -= 1;
      const began = performance.now();
      const { status, text } = await post({ headers: { 'content-type': 'application/json' }, body });
      if (status >= 300) throw new Error(`${status} ${text}`);
      times.push(performance.now() - began);
    }
  }
  await Promise.all(Array.from({ length: Number(atOnce) }, postOn));
  return { times: times.sort((a, b) => a - b) };
}

/** On a connection that is kept. */
async function post({ headers, body }) {
  const posting = request(url, { method: 'POST', agent, headers });
  const answered = answerOf(posting);
  posting.end(body);
  return answered;
}

async function answerOf(sending) {
  const [response] = await once(sending, 'response');
  let text = '';
  for await (const part of response.setEncoding('utf8')) text += part;
  return { status: response.statusCode, text };
}
