import { type CreatedKey, type KeyAnswer, type Scope, scopes as allScopes } from '@bullpen/api';
import { type Command, InvalidArgumentError } from 'commander';
import { apiCommand, connect, type ConnectOptions } from '../connect.ts';
import { printJson, printLines, type Context } from '../context.ts';
import { startTime, wholeNumber } from '../options.ts';
import { agoText } from '../text/numbers.ts';
import { facts, shortText, table } from '../text/table.ts';

interface CreateOptions extends ConnectOptions {
  name: string;
  scopes: Scope[];
  owner?: string;
  requestsPerSecond?: number;
  expires?: string;
}

const examples = `
Scopes:
  submit   hands work over, appends to open batches and closes them
  read     sees batches, results, workers, partitions and metrics
  control  pauses, resumes, cancels, retries, changes and deletes batches
  admin    all of these, and keys, limits of handlers and Bull Board

Examples:
  pnpm bullpen keys create --name ops --scopes admin
  pnpm bullpen keys create --name importer --scopes submit,read --owner acme --requests-per-second 50 --expires 90d
  pnpm bullpen keys list
  pnpm bullpen keys revoke 4f1c09ab22de310`;

/** `keys create | list | revoke`. */
export function addKeys(program: Command, context: Context): void {
  const keys = program
    .command('keys')
    .summary('make, list and revoke the keys by which others may ask')
    .description(
      'As long as there never was a key only this machine may ask, and may do everything. From the first one on each request needs one: ' +
        'Authorization: Bearer <key>, or BULLPEN_API_KEY for this program. An owner sees its own batches and no others.',
    )
    .addHelpText('after', examples);
  addCreate(keys, context);
  apiCommand(keys, 'list')
    .summary('list all keys there ever were, without their secrets')
    .action(async (options: ConnectOptions) => {
      const answer = await (await connect(context, options)).keys();
      if (options.json) printJson(context.stdout, answer);
      else if (answer.items.length === 0) printLines(context.stdout, ['There are no keys: only this machine may ask.']);
      else printLines(context.stdout, keyTable(answer.items, Date.now()));
    });
  apiCommand(keys, 'revoke')
    .summary('revoke a key for good: within 2 s it is refused')
    .argument('<id>', 'of the key: what stands between bp_ and the next _ (pnpm bullpen keys list)')
    .action(async (id: string, options: ConnectOptions) => {
      await (await connect(context, options)).revokeKey(id);
      if (options.json) printJson(context.stdout, { id, revoked: true });
      else printLines(context.stdout, [`Revoked: key ${id}. Within 2 s it is refused everywhere.`]);
    });
}

function addCreate(keys: Command, context: Context): void {
  apiCommand(keys, 'create')
    .summary('make a key, which is shown this once')
    .requiredOption('--name <name>', 'who or what will use it')
    .requiredOption('--scopes <scopes>', `what it allows: some of ${allScopes.join(',')}`, scopesOf)
    .option('--owner <owner>', 'whose batches it sees (default: those that came without a key or an owner)')
    .option('--requests-per-second <n>', 'more are answered 429 (default: any number)', wholeNumber(1, 1_000_000))
    .option('--expires <when>', 'a time with its zone, or from now: 2027-01-31T18:00:00Z, 8h, 90d', startTime)
    .addHelpText('after', examples)
    .action(async (options: CreateOptions) => {
      const { name, scopes, owner = null, requestsPerSecond = null, expires: expiresAt = null } = options;
      const client = await connect(context, options);
      const created = await client.createKey({ name, scopes, owner, requestsPerSecond, expiresAt });
      if (options.json) printJson(context.stdout, created);
      else printLines(context.stdout, createdLines(created, Date.now()));
    });
}

function scopesOf(text: string): Scope[] {
  const given = text.split(',').map((each) => each.trim());
  const wrong = given.find((each) => !(allScopes as readonly string[]).includes(each));
  if (wrong === undefined) return given as Scope[];
  throw new InvalidArgumentError(`"${wrong}" is none: they are ${allScopes.join(', ')}, by comma.`);
}

const createdLines = (key: CreatedKey, nowMs: number): string[] => [
  ...facts([
    ['Key', key.key],
    ['Name', shortText(key.name, 100)],
    ['Owner', key.owner ?? '–'],
    ['Scopes', key.scopes.join(', ')],
    ['Requests', limitText(key)],
    ['Expires', key.expiresAt ?? 'never'],
    ['State', stateText(key, nowMs)],
  ]),
  '',
  'It is shown this once: keep it now. For this program: export BULLPEN_API_KEY=<key>',
];

const limitText = ({ requestsPerSecond }: KeyAnswer): string =>
  requestsPerSecond === null ? 'any number' : `${requestsPerSecond}/s`;

function stateText({ revokedAt, expiresAt }: KeyAnswer, nowMs: number): string {
  if (revokedAt !== null) return `revoked ${agoText(revokedAt, nowMs)}`;
  return expiresAt !== null && Date.parse(expiresAt) <= nowMs ? 'expired' : 'holds';
}

const keyTable = (keys: readonly KeyAnswer[], nowMs: number): string[] =>
  table<KeyAnswer>(
    [
      { title: 'ID', text: ({ id }) => id },
      { title: 'NAME', text: ({ name }) => shortText(name, 30) },
      { title: 'OWNER', text: ({ owner }) => owner ?? '–' },
      { title: 'SCOPES', text: ({ scopes }) => scopes.join(',') },
      { title: 'REQUESTS', align: 'right', text: limitText },
      { title: 'CREATED', text: ({ createdAt }) => createdAt },
      { title: 'EXPIRES', text: ({ expiresAt }) => expiresAt ?? 'never' },
      { title: 'STATE', text: (key) => stateText(key, nowMs) },
    ],
    keys,
  );
