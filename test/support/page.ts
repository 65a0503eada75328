/** A fenced block of a page: its language, the words after it (`terminal=1 serves`), its text, and its line for messages. */
export interface Block {
  language: string;
  words: ReadonlyMap<string, string>;
  text: string;
  line: number;
}

/** The fenced blocks of a Markdown text, in order. */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  const fence = /^```(\w+)([^\n]*)\n([^]*?)^```$/gm;
  for (let found = fence.exec(markdown); found !== null; found = fence.exec(markdown)) {
    const [, language = '', info = '', text = ''] = found;
    const words = info.trim().split(/\s+/).filter(Boolean);
    blocks.push({
      language,
      words: new Map(words.map((word) => [word.split('=')[0]!, word.split('=')[1] ?? ''])),
      text,
      line: markdown.slice(0, found.index).split('\n').length,
    });
  }
  return blocks;
}

/** What differs from run to run, as one word each: ids, times, durations, speeds; and the spaces of columns. */
const masked = (line: string): string =>
  line
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<id>')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replaceAll(/[\d.,]+ items\/s/g, '<speed>')
    .replaceAll(/\b(\d[\d.]* (ms|s|min)( \d+ s)?)\b/g, '<duration>')
    .replaceAll(/\s+/g, ' ')
    .trim();

/** The first line of `expected` that does not come in `output` after those before it; null when all do. `…` stands for anything. */
export function missingLine(expected: string, output: string): string | null {
  const lines = output.split('\n').map(masked);
  let at = 0;
  for (const line of expected.split('\n').filter((each) => each.trim() !== '')) {
    const parts = masked(line)
      .split('…')
      .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
    const pattern = new RegExp(`^${parts.join('.*')}$`);
    const found = lines.findIndex((each, index) => index >= at && pattern.test(each));
    if (found < 0) return line;
    at = found + 1;
  }
  return null;
}
