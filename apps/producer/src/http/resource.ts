import { type Method, routes as document } from '@bullpen/api';
import type { Express, Request, Response } from 'express';
import { requires } from './access.ts';
import { sendProblem } from './answer.ts';
import { HttpProblem } from './problem.ts';

export type Route = (req: Request, res: Response) => void | Promise<void>;

const methods: readonly Method[] = ['get', 'post', 'put', 'patch', 'delete'];

/**
 * The methods of one path, each for those whose key allows what the document says that it needs; every other method is answered 405 with
 * what is allowed.
 */
export function addResource(app: Express, path: string, routes: Partial<Record<Method, Route>>): void {
  const given = methods.filter((method) => routes[method] !== undefined);
  const allowed = given.flatMap((method) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()])).join(', ');
  const said = document[path.replaceAll(/:(\w+)/g, '{$1}')] ?? {};
  for (const method of given) {
    const { needs } = said[method] ?? {};
    if (needs === undefined) throw new Error(`the document does not say what ${method} ${path} needs`);
    app[method](path, requires(needs), routes[method]!);
  }
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
