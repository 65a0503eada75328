import { openServices, readSettings } from '@bullpen/runtime';
import type { Command } from 'commander';
import { printLines, type Context } from '../context.ts';

/** Brings the database up to this version. Every start does it too; this is for who wants it done before. */
export function addMigrate(program: Command, context: Context): void {
  program
    .command('migrate')
    .summary('brings the database up to this version')
    .description('Applies the migrations that the database does not have yet, under a lock. Every start does it too.')
    .addHelpText('after', '\nExamples:\n  pnpm db:migrate\n  DATABASE_URL=postgres://… pnpm db:migrate')
    .action(async () => {
      const { dataDir, databaseUrl, redisUrl, queueBackend } = readSettings(context.env);
      const say = (line: string): void => printLines(context.stdout, [line]);
      const services = await openServices({ dataDir, databaseUrl, redisUrl, queueBackend, mode: 'join-or-own', say });
      try {
        // Loaded here alone: the other commands start faster without it.
        const { migrate } = await import('@bullpen/db');
        await migrate(services.databaseUrl);
        say('The database is up to date.');
      } finally {
        await services.stop();
      }
    });
}
