import { onTestFinished } from 'vitest';
import { openProxy } from './faults/proxy.ts';

/**
 * Stands before a server and lets all pass, until a client sends the given text: that is still delivered, its reply is
 * not, the connection breaks, and no new one is taken. For a commit whose reply is lost.
 */
export async function dropReplyTo(target: string, text: string): Promise<string> {
  const proxy = await openProxy(target);
  onTestFinished(() => proxy.close());
  void proxy.dropReply('up', text).then(() => proxy.stopListening());
  return proxy.url;
}
