import type { Express, Request, Response } from 'express';
import { sendProblem } from './answer.ts';
import { HttpProblem } from './problem.ts';

export type Route = (req: Request, res: Response) => void | Promise<void>;

/** The methods of one path; every other method is answered 405 with what is allowed. */
export function addResource(app: Express, path: string, routes: { get?: Route; post?: Route; delete?: Route }): void {
  const { get, post } = routes;
  const allowed = [
    ...(get ? ['GET', 'HEAD'] : []),
    ...(post ? ['POST'] : []),
    ...(routes.delete ? ['DELETE'] : []),
  ].join(', ');
  if (get) app.get(path, get);
  if (post) app.post(path, post);
  if (routes.delete) app.delete(path, routes.delete);
  app.all(path, (req, res) => refuseMethod(req, res, allowed));
}

export const refuseMethod: (req: Request, res: Response, allowed: string) => void = (req, res, allowed) =>
  sendProblem(
    req,
    res,
    new HttpProblem('method-not-allowed', `${req.method} is not allowed here, only ${allowed}`, {
      headers: { Allow: allowed },
    }),
  );
