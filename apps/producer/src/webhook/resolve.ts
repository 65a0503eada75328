import { Resolver } from 'node:dns/promises';
import { isIPv4, type LookupFunction } from 'node:net';
import { callbackify } from 'node:util';
import { isLoopback, mayBeCalled } from './address.ts';
import type { UrlRules } from './url.ts';

/** All addresses of a name; rejects with an error with a code where there are none. */
export type Resolve = (hostname: string) => Promise<string[]>;

/** The name has an address that must not be called. */
export class AddressRefused extends Error {
  readonly code = 'ADDRESS_REFUSED';
  constructor() {
    super('its name stands for an address that is not public');
  }
}

/**
 * From DNS. Not by `dns.lookup`: that takes one of four threads, which files need too, as long as a slow server of a stranger's
 * domain likes.
 */
export async function resolveName(hostname: string): Promise<string[]> {
  if (hostname === 'localhost') return ['127.0.0.1', '::1'];
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  const answers = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  if (addresses.length === 0) throw (answers[0] as PromiseRejectedResult).reason;
  return addresses;
}

/**
 * The lookup of one connection: it answers addresses that it has checked, and the socket connects to these. A name that has any
 * other address beside them is refused whole. `plain`: over http, which goes to this machine only.
 */
export function checkedLookup(resolve: Resolve, rules: UrlRules & { plain: boolean }): LookupFunction {
  const mayBe = (address: string): boolean => mayBeCalled(address, rules) && (!rules.plain || isLoopback(address));
  const checked = async (hostname: string): Promise<{ address: string; family: 4 | 6 }[]> => {
    const addresses = await resolve(hostname);
    if (addresses.length === 0 || !addresses.every(mayBe)) throw new AddressRefused();
    return addresses.map((address) => ({ address, family: isIPv4(address) ? 4 : 6 }));
  };
  const ask = callbackify(checked);
  return (hostname, options, callback) =>
    ask(hostname, (error, found) => {
      if (error !== null || options.all) return callback(error, found);
      callback(null, found[0]!.address, found[0]!.family);
    });
}
