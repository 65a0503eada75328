import type { IncomingMessage, ServerResponse } from 'node:http';

/** After an answer that came before the end of the body, so much more of it is thrown away, or for so long. */
const bytesMax = 256 * 1024 * 1024;
const ms = 10_000;
const everyMs = 100;

/**
 * A request that is answered before all of its body has come, for it was refused: Node goes on reading it to the end, however
 * long that is. To cut at once would be worse: a client that sends first and reads then would find its connection reset and
 * never see why. So the rest is read for a while, and then cut.
 */
export function lingerAfter(req: IncomingMessage, res: ServerResponse): void {
  res.once('finish', () => {
    if (req.complete) return;
    const { socket } = req;
    const began = socket.bytesRead;
    const until = performance.now() + ms;
    req.resume();
    const timer = setInterval(() => {
      const over = socket.bytesRead - began > bytesMax || performance.now() > until;
      if (over && !req.complete) socket.destroy();
      if (over || req.complete || socket.destroyed) clearInterval(timer);
    }, everyMs);
    timer.unref();
  });
}
