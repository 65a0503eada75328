import type { Express, Request, Response } from 'express';
import { sendProblem } from './answer.ts';
import { HttpProblem } from './problem.ts';

export type Route = (req: Request, res: Response) => void | Promise<void>;

const methods = ['get', 'post', 'put', 'patch', 'delete'] as const;

/** The methods of one path; every other method is answered 405 with what is allowed. */
export function addResource(
  app: Express,
  path: string,
  routes: Partial<Record<(typeof methods)[number], Route>>,
): void {
  const given = methods.filter((method) => routes[method] !== undefined);
  const allowed = given.flatMap((method) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()])).join(', ');
  for (const method of given) app[method](path, routes[method]!);
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
