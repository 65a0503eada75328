/**
 * Bugs that the fault suite must see: a check that cannot fail is no check. Each is a text of one source that is replaced while the
 * processes are built (build.mjs), so that no source has a branch for it. `caught` begins the name of the tests that turn red, and `says` is in the
 * reason: a bug with which nothing starts at all turns them red as well.
 */
export const plants = {
  'no-fence': {
    what: 'a flush does not look under which claim the chunk runs',
    file: 'libs/db/src/statements/flush.ts',
    from: 'join chunks c on c.no = u.no and c.claim = u.claim',
    to: 'join chunks c on c.no = u.no',
    caught: 'workers X22 that is back',
    says: /expected 0 to be greater than 0/,
  },
  'counter-for-claim-id': {
    what: 'claim ids are counted by each worker instead of drawn',
    file: 'apps/worker/src/claims.ts',
    from: 'const claim = randomUUID();',
    to: "const claim = `00000000-0000-4000-8000-${String((globalThis.claims = (globalThis.claims ?? 0) + 1)).padStart(12, '0')}`; void randomUUID;",
    caught: 'workers X22 that is back',
    says: /expected 0 to be greater than 0/,
  },
  'flush-settles-twice': {
    what: 'a flush that is repeated settles again what is done',
    file: 'libs/db/src/statements/flush.ts',
    from: "where c.no = any(${nos}) and c.state || '' = 'running' order",
    to: 'where c.no = any(${nos}) order',
    caught: 'network X20 .*a flush',
    says: /a worker ended with 1/,
  },
  'two-statement-flush': {
    what: 'a flush writes results in one statement and settles their chunks in the next, and its worker dies between the two',
    file: 'libs/db/src/statements/flush.ts',
    from: `const query = db
    .with(fin, back, locked, counted, done, rest, reduced, inserted)
    .select({ no: fin.no, batch: fin.batch })
    .from(fin)
    .prepare('flush');`,
    to: `const first = db
    .with(fin, back, locked, counted, rest, reduced, inserted)
    .select({ no: fin.no, batch: fin.batch })
    .from(fin)
    .prepare('flush');
  const query = { execute: async (given) => {
    const rows = await first.execute(given);
    if (process.env.TEST_CRASH_AT === 'after-flush') process.kill(process.pid, 'SIGKILL');
    await db.execute(sql\`update chunks c set state = 'done', size = u.succeeded + u.failed, picks = null
      from unnest(\${given.nos}::bigint[], \${given.succeeded}::int[], \${given.failed}::int[]) u(no, succeeded, failed) where c.no = u.no\`);
    return rows;
  } };
  void done;`,
    caught: 'workers X4',
    says: /a worker ended with 1/,
  },
  'new-claim-id-on-retry': {
    what: 'a claim that is repeated after a lost reply is not known again',
    file: 'libs/db/src/statements/claim.ts',
    from: "and (c.state = 'queued' or (c.state = 'running' and c.claim = ${claim}))",
    to: "and c.state = 'queued'",
    caught: 'network X20 .*a claim',
    says: /claims whose reply was lost/,
  },
  'no-orphan-rule': {
    what: 'a heartbeat frees nothing that runs under its worker and is not in hand',
    file: 'libs/db/src/statements/heartbeat.ts',
    from: "const orphaned = sql`state = 'running' and",
    to: "const orphaned = sql`false and state = 'running' and",
    caught: 'full-rate X15',
    says: /batch .* ends/,
  },
  'no-repair': {
    what: 'nobody looks for workers that are gone',
    file: 'apps/producer/src/publish/mend.ts',
    from: 'await repairGone();\n    await repairLost();',
    to: 'void repairGone; await repairLost();',
    caught: 'workers X1',
    says: /I5/,
  },
  'repair-without-grace': {
    what: 'a server or producer that was away judges workers by the time that it slept through',
    file: 'apps/producer/src/publish/mend.ts',
    from: 'if (!watchedForALease()) return;',
    to: 'watchedForALease();',
    caught: 'postgres X17 frozen as a whole',
    says: /expected [1-9]\d* to be \+?0/,
  },
  'completion-by-not-exists': {
    what: 'a batch completes when the flush sees no other unfinished chunk',
    file: 'libs/db/src/statements/count-outcomes.ts',
    from: "const ends = sql`b.state = 'running' and b.sealed and b.succeeded + s.succeeded + b.failed + s.failed = b.total`;",
    to: "const ends = sql`b.state = 'running' and b.sealed and not exists (select from chunks c where c.batch = b.no and c.state <> 'done' and c.no not in (select no from fin))`;",
    caught: 'workers X1',
    says: /I5|I1/,
  },
  'async-completion': {
    what: 'the commit that completes a batch does not wait for the disk',
    file: 'libs/db/src/statements/count-outcomes.ts',
    from: "set_config('synchronous_commit', 'on', true)",
    to: "set_config('synchronous_commit', 'off', true)",
    caught: 'postgres X15 killed right after it was told',
    says: /'running'.*to deeply equal.*'completed'/,
  },
  'constant-job-id': {
    what: 'a chunk that is published again has the job id that it had',
    file: 'libs/queue/src/names.ts',
    from: '`c-${chunk}-${generation}`',
    to: '`c-${chunk}${generation < 0 ? 0 : ""}`',
    caught: 'network X23',
    says: /I5/,
  },
  'answer-before-commit': {
    what: '202 is answered while the accept is on its way',
    file: 'apps/producer/src/intake/accept-json.ts',
    from: 'await confirmed(batch.id, deps.statements.acceptCount(batch, size));',
    to: 'void confirmed(batch.id, deps.statements.acceptCount(batch, size)).catch(() => undefined);',
    caught: 'postgres X17 frozen as a whole',
    says: /expected 202 not to be 202/,
  },
  'lost-jobs-stay-lost': {
    what: 'a key in Redis is taken for a job that will run',
    file: 'libs/queue/src/publish.ts',
    from: 'if (!alive.has(state) ||',
    to: "if ((!alive.has(state) && state !== 'completed' && state !== 'failed' && state !== 'unknown') ||",
    caught: 'redis X10',
    says: /items have started|I5/,
  },
  'retry-by-own-code': {
    what: 'the code of an error is looked for where the driver puts it, and not where Drizzle does',
    file: 'libs/db/src/retry.ts',
    from: 'const found = cause?.code ?? code;',
    to: 'const found = cause === undefined ? code : code;',
    caught: 'postgres X16',
    says: /a worker ended with 1/,
  },
  'survives-uncaught': {
    what: 'an uncaught error is logged, and the process goes on',
    file: 'libs/runtime/src/lifecycle.ts',
    from: "process.on('unhandledRejection', (error) => die(log, error));",
    to: "process.on('unhandledRejection', (error) => log.error(errorFacts(error), 'unhandled'));",
    caught: 'workers X33',
    says: /'it lives' to be 1/,
  },
  'hot-loop': {
    what: 'a worker asks a Redis that refuses again at once',
    file: 'libs/queue/src/consume.ts',
    from: 'if (!link.isHot(error) || cooling !== null) return;',
    to: 'if (cooling !== null || link.isHot(error)) return;',
    caught: 'redis X13',
    says: /to be less than 5000/,
  },
  'no-barrier': {
    what: 'items of a group do not wait for each other',
    file: 'apps/worker/src/runner.ts',
    from: "hasBarrier: settings.testBreakOrder !== 'barrier',",
    to: 'hasBarrier: false,',
    caught: 'workers .*in groups X2',
    says: /I3/,
  },
  'loud-retries': {
    what: 'each statement that is tried again says so',
    file: 'libs/runtime/src/quiet.ts',
    from: 'if (times.length >= most) {',
    to: 'if (times.length < 0) {',
    caught: 'postgres X18',
    says: /times in a second/,
  },
  'no-idempotency': {
    what: 'a request under a key that was used is a new one',
    file: 'apps/producer/src/http/submit.ts',
    from: 'key === null ? undefined : { key, hash: digest! }',
    to: 'key === null ? undefined : undefined',
    caught: 'producers X6 killed after the commit',
    says: /I4 one key has several batches/,
  },
  'deaf-to-cancel': {
    what: 'a worker goes on with what it has of a batch that was cancelled',
    file: 'apps/worker/src/heartbeat.ts',
    from: 'for (const { no, state } of stopped) deps.plans.stop(no, state);',
    to: 'void stopped;',
    caught: 'clients X41',
    says: /startedAt/,
  },
};
