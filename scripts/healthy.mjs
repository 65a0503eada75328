// A container's health: exits 0 when the process in it says that it is ready, else 1 with its words.
const { WORKER_PORT, PORT } = process.env;
// WORKER_PORT=0: it listens nowhere, so that it runs is all that can be said.
if (WORKER_PORT === '0') process.exit(0);
const url = `http://127.0.0.1:${WORKER_PORT || PORT || 3000}/readyz`;

try {
  const response = await fetch(url, { signal: AbortSignal.timeout(4000) });
  if (!response.ok) console.error(await response.text());
  process.exit(response.ok ? 0 : 1);
} catch (error) {
  console.error(`${url}: ${error.cause?.message ?? error.message}`);
  process.exit(1);
}
