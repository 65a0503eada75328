/**
 * Cuts a stream of bytes into its lines, without their ends and without empty ones. A last line without an end counts.
 * Leaving the loop cancels the stream.
 */
export async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  // Parts of a line that is not over: joined once, since a line may come in thousands of parts.
  let open: string[] = [];
  for await (const bytes of body) {
    const parts = decoder.decode(bytes, { stream: true }).split('\n');
    const last = parts.pop()!;
    for (const part of parts) {
      open.push(part);
      const line = open.join('');
      open = [];
      if (line !== '') yield line;
    }
    if (last !== '') open.push(last);
  }
  const line = open.join('') + decoder.decode();
  if (line !== '') yield line;
}
