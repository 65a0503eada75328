import { problemOf } from '@bullpen/api';
import type { Request, Response } from 'express';
import { HttpProblem } from './problem.ts';

/** Sends a whole body. Node leaves the body of an answer to HEAD out by itself. */
export function sendText(res: Response, status: number, type: string, text: string): void {
  res.statusCode = status;
  res.setHeader('Content-Type', type);
  res.setHeader('Content-Length', Buffer.byteLength(text));
  res.end(text);
}

export const sendJson = (res: Response, value: unknown, status = 200): void =>
  sendText(res, status, 'application/json', JSON.stringify(value));

export function sendProblem(req: Request, res: Response, problem: HttpProblem): void {
  const { slug, message, errors, headers, status } = problem;
  for (const [name, value] of Object.entries(headers)) res.setHeader(name, value);
  // The path without its query, which might hold what nobody should log.
  const instance = req.originalUrl.split('?', 1)[0]!;
  const body = problemOf(slug, { detail: message, instance, errors });
  sendText(res, status, 'application/problem+json', JSON.stringify(body));
}
