import type { RequestHandler } from 'express';
import helmet from 'helmet';

/** What a page may load. The API needs nothing; pages of their own say more. */
export const contentPolicy = {
  none: "default-src 'none'; frame-ancestors 'none'",
  /** The status page: its own style, no script. */
  page: "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  /** Bull Board: its scripts, styles and images come from here; the fonts of Google it also asks for stay out. */
  board:
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src 'self' blob:; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
} as const;

/** Whether a name is to be reached by https only, for months, is for who has that name to say. */
const usual = helmet({
  contentSecurityPolicy: false,
  strictTransportSecurity: false,
  xFrameOptions: { action: 'deny' },
});

/** On every answer. Nothing may be cached: all of it changes, or is nobody else's business. */
export const setHeaders: RequestHandler = (req, res, next) => {
  res.setHeader('Cache-Control', 'no-store');
  res.setHeader('Content-Security-Policy', contentPolicy.none);
  usual(req, res, next);
};
