const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
export const escapeHtml = (text: string): string => text.replaceAll(/[&<>"']/g, (letter) => entities[letter]!);

/** A page of ours: its own style, no script. */
export const page = ({
  head = '',
  title,
  body,
}: {
  head?: string;
  title: string;
  body: string;
}): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
${head}<title>${escapeHtml(title)}</title>
<style>
  :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
  body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
  table { border-collapse: collapse; width: 100%; }
  th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; }
  nav a { margin-right: 1rem; }
  code, pre { font: 13px/1.4 ui-monospace, monospace; }
  pre { overflow-x: auto; background: #8881; padding: .6rem; }
  h2 { margin: 2.5rem 0 .3rem; }
</style>
</head>
<body>
${body}
</body>
</html>
`;
