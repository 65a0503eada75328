const place = '{height}';

/** The URL of one block. */
export const fill = (template: string, height: number): string => template.replaceAll(place, String(height));

/** Whether it is an http or https URL once the height stands in it. */
export function isTemplate(template: string): boolean {
  const url = fill(template, 0);
  return url !== template && URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol);
}
