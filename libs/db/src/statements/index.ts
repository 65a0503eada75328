import { type Database, renewConnections } from '../database.ts';
import { type Patience, withRetry } from '../retry.ts';
import { prepareAccept } from './accept.ts';
import { prepareApiKeys, prepareCreateApiKey, prepareRevokeApiKey } from './api-keys.ts';
import { prepareAppend } from './append.ts';
import { prepareAppendJobs } from './append-jobs.ts';
import { prepareAbortUpload, prepareCleanUploads } from './clean-uploads.ts';
import { prepareCharge } from './charge.ts';
import { prepareClaim } from './claim.ts';
import { prepareClaimLine } from './claim-line.ts';
import { prepareClock } from './clock.ts';
import { prepareBacklog } from './backlog.ts';
import { prepareCancel, prepareClose, preparePause, prepareResume, prepareRetry } from './control.ts';
import { prepareBatches, prepareCounts, prepareEnded, preparePlan, prepareProgress, prepareReduced } from './counts.ts';
import { prepareDue } from './due.ts';
import { prepareExtend } from './extend.ts';
import { prepareFailures } from './failures.ts';
import { prepareFlush } from './flush.ts';
import { prepareFlushLine } from './flush-line.ts';
import { prepareFold, prepareUnfolded } from './fold.ts';
import { prepareForget } from './forget.ts';
import { prepareHeartbeat } from './heartbeat.ts';
import { prepareHelp } from './help.ts';
import { prepareInputs, prepareInputsAfter } from './inputs.ts';
import { prepareReceipt } from './keys.ts';
import { prepareLeaseSlots } from './lease-slots.ts';
import { prepareLimits } from './limits.ts';
import { prepareLineTag } from './line-tag.ts';
import { prepareLost, prepareQueued } from './lost.ts';
import { prepareMark } from './mark.ts';
import { prepareMarkLines } from './mark-lines.ts';
import { prepareOwn } from './own.ts';
import { preparePartitions } from './partitions.ts';
import { preparePauseLimits } from './pause-limits.ts';
import { prepareProbe } from './probe.ts';
import { prepareFreeRange, prepareFreeRanges } from './ranges.ts';
import { prepareLeave, prepareRegister, prepareRetire } from './register.ts';
import { prepareAbandon, prepareRepair } from './repair.ts';
import { prepareExpire, prepareRemove } from './remove.ts';
import { prepareOutcome, prepareResults } from './results.ts';
import { prepareRollJobs } from './roll-jobs.ts';
import { prepareSettled } from './settled.ts';
import { prepareChange, prepareHandlerLimits, prepareLimitHandler } from './set-limits.ts';
import { prepareSharePermits } from './share-permits.ts';
import { prepareSilent } from './silent.ts';
import { prepareHolding, prepareStay } from './stall.ts';
import { prepareBatchStates, prepareStanding } from './standing.ts';
import { prepareSuspect } from './suspect.ts';
import { prepareLeftovers, prepareSweep } from './sweep.ts';
import { prepareTakeTellings, prepareTell } from './tell.ts';
import { prepareStreams, prepareTrim } from './trim.ts';
import { prepareGoLive, prepareKeepUploads, prepareOpenUpload, preparePut } from './upload.ts';
import { prepareWindows } from './windows.ts';
import { prepareWorkers } from './workers.ts';

type Statement<Args extends readonly unknown[], Answer> = (...args: Args) => Promise<Answer>;

/** All statements, each of which may be repeated and is, where that helps (retry.ts). */
export function createStatements(db: Database, patience: Patience) {
  const patient = { ...patience, renew: () => renewConnections(db) };
  // Prepared when first used: no process uses all of them, and all together take a start 50 ms of cpu.
  const again = <Args extends readonly unknown[], Answer>(prepare: (db: Database) => Statement<Args, Answer>) => {
    let statement: Statement<Args, Answer> | undefined;
    return (...args: Args): Promise<Answer> => withRetry(() => (statement ??= prepare(db))(...args), patient);
  };
  let both: ReturnType<typeof prepareAccept> | undefined;
  const accepts = (): ReturnType<typeof prepareAccept> => (both ??= prepareAccept(db));
  return {
    acceptCount: again(() => accepts().acceptCount),
    acceptInputs: again(() => accepts().acceptInputs),
    openUpload: again(prepareOpenUpload),
    put: again(preparePut),
    keepUploads: again(prepareKeepUploads),
    goLive: again(prepareGoLive),
    abortUpload: again(prepareAbortUpload),
    cleanUploads: again(prepareCleanUploads),
    append: again(prepareAppend),
    appendJobs: again(prepareAppendJobs),
    rollJobs: again(prepareRollJobs),
    receipt: again(prepareReceipt),
    apiKeys: again(prepareApiKeys),
    createApiKey: again(prepareCreateApiKey),
    revokeApiKey: again(prepareRevokeApiKey),
    backlog: again(prepareBacklog),
    close: again(prepareClose),
    change: again(prepareChange),
    limitHandler: again(prepareLimitHandler),
    handlerLimits: again(prepareHandlerLimits),
    limits: again(prepareLimits),
    leaseSlots: again(prepareLeaseSlots),
    pauseLimits: again(preparePauseLimits),
    sharePermits: again(prepareSharePermits),
    settled: again(prepareSettled),
    due: again(prepareDue),
    windows: again(prepareWindows),
    mark: again(prepareMark),
    claim: again(prepareClaim),
    flush: again(prepareFlush),
    markLines: again(prepareMarkLines),
    lineTag: again(prepareLineTag),
    claimLine: again(prepareClaimLine),
    flushLine: again(prepareFlushLine),
    probe: again(prepareProbe),
    register: again(prepareRegister),
    heartbeat: again(prepareHeartbeat),
    own: again(prepareOwn),
    help: again(prepareHelp),
    retire: again(prepareRetire),
    leave: again(prepareLeave),
    clock: again(prepareClock),
    repair: again(prepareRepair),
    abandon: again(prepareAbandon),
    holding: again(prepareHolding),
    charge: again(prepareCharge),
    suspect: again(prepareSuspect),
    stay: again(prepareStay),
    silent: again(prepareSilent),
    forget: again(prepareForget),
    queued: again(prepareQueued),
    lost: again(prepareLost),
    extend: again(prepareExtend),
    counts: again(prepareCounts),
    reduced: again(prepareReduced),
    unfolded: again(prepareUnfolded),
    fold: again(prepareFold),
    standing: again(prepareStanding),
    batchStates: again(prepareBatchStates),
    batches: again(prepareBatches),
    progress: again(prepareProgress),
    ended: again(prepareEnded),
    plan: again(preparePlan),
    results: again(prepareResults),
    inputs: again(prepareInputs),
    inputsAfter: again(prepareInputsAfter),
    outcome: again(prepareOutcome),
    failures: again(prepareFailures),
    workers: again(prepareWorkers),
    partitions: again(preparePartitions),
    pause: again(preparePause),
    resume: again(prepareResume),
    cancel: again(prepareCancel),
    retry: again(prepareRetry),
    takeTellings: again(prepareTakeTellings),
    tell: again(prepareTell),
    remove: again(prepareRemove),
    expire: again(prepareExpire),
    leftovers: again(prepareLeftovers),
    sweep: again(prepareSweep),
    streams: again(prepareStreams),
    trim: again(prepareTrim),
    freeRanges: again(prepareFreeRanges),
    freeRange: again(prepareFreeRange),
  };
}

export type Statements = ReturnType<typeof createStatements>;
