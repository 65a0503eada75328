import type { Database } from '../database.ts';
import { type Patience, withRetry } from '../retry.ts';
import { prepareAccept } from './accept.ts';
import { prepareAppend } from './append.ts';
import { prepareAppendJobs } from './append-jobs.ts';
import { prepareAbortUpload, prepareCleanUploads } from './clean-uploads.ts';
import { prepareClaim } from './claim.ts';
import { prepareCancel, prepareClose, preparePause, prepareResume, prepareRetry } from './control.ts';
import { prepareBatches, prepareCounts, prepareEnded, preparePlan, prepareProgress, prepareReduced } from './counts.ts';
import { prepareDue } from './due.ts';
import { prepareExtend } from './extend.ts';
import { prepareFailures } from './failures.ts';
import { prepareFlush } from './flush.ts';
import { prepareFold, prepareUnfolded } from './fold.ts';
import { prepareForget } from './forget.ts';
import { prepareHeartbeat } from './heartbeat.ts';
import { prepareHelp } from './help.ts';
import { prepareInputs } from './inputs.ts';
import { prepareLost, prepareQueued } from './lost.ts';
import { prepareMark } from './mark.ts';
import { prepareOwn } from './own.ts';
import { preparePartitions } from './partitions.ts';
import { prepareProbe } from './probe.ts';
import { prepareFreeRange, prepareFreeRanges } from './ranges.ts';
import { prepareLeave, prepareRegister, prepareRetire } from './register.ts';
import { prepareAbandon, prepareRepair } from './repair.ts';
import { prepareExpire, prepareRemove } from './remove.ts';
import { prepareOutcome, prepareResults } from './results.ts';
import { prepareRollJobs } from './roll-jobs.ts';
import { prepareSettled } from './settled.ts';
import { prepareSilent } from './silent.ts';
import { prepareHolding, prepareStay } from './stall.ts';
import { prepareLeftovers, prepareSweep } from './sweep.ts';
import { prepareGoLive, prepareKeepUploads, prepareOpenUpload, preparePut } from './upload.ts';
import { prepareWindows } from './windows.ts';
import { prepareWorkers } from './workers.ts';

/** All statements, each of which may be repeated and is, where that helps (retry.ts). */
export function createStatements(db: Database, patience: Patience) {
  const again =
    <Args extends readonly unknown[], Answer>(statement: (...args: Args) => Promise<Answer>) =>
    (...args: Args): Promise<Answer> =>
      withRetry(() => statement(...args), patience);
  const { acceptCount, acceptInputs } = prepareAccept(db);
  return {
    acceptCount: again(acceptCount),
    acceptInputs: again(acceptInputs),
    openUpload: again(prepareOpenUpload(db)),
    put: again(preparePut(db)),
    keepUploads: again(prepareKeepUploads(db)),
    goLive: again(prepareGoLive(db)),
    abortUpload: again(prepareAbortUpload(db)),
    cleanUploads: again(prepareCleanUploads(db)),
    append: again(prepareAppend(db)),
    appendJobs: again(prepareAppendJobs(db)),
    rollJobs: again(prepareRollJobs(db)),
    close: again(prepareClose(db)),
    settled: again(prepareSettled(db)),
    due: again(prepareDue(db)),
    windows: again(prepareWindows(db)),
    mark: again(prepareMark(db)),
    claim: again(prepareClaim(db)),
    flush: again(prepareFlush(db)),
    probe: again(prepareProbe(db)),
    register: again(prepareRegister(db)),
    heartbeat: again(prepareHeartbeat(db)),
    own: again(prepareOwn(db)),
    help: again(prepareHelp(db)),
    retire: again(prepareRetire(db)),
    leave: again(prepareLeave(db)),
    repair: again(prepareRepair(db)),
    abandon: again(prepareAbandon(db)),
    holding: again(prepareHolding(db)),
    stay: again(prepareStay(db)),
    silent: again(prepareSilent(db)),
    forget: again(prepareForget(db)),
    queued: again(prepareQueued(db)),
    lost: again(prepareLost(db)),
    extend: again(prepareExtend(db)),
    counts: again(prepareCounts(db)),
    reduced: again(prepareReduced(db)),
    unfolded: again(prepareUnfolded(db)),
    fold: again(prepareFold(db)),
    batches: again(prepareBatches(db)),
    progress: again(prepareProgress(db)),
    ended: again(prepareEnded(db)),
    plan: again(preparePlan(db)),
    results: again(prepareResults(db)),
    inputs: again(prepareInputs(db)),
    outcome: again(prepareOutcome(db)),
    failures: again(prepareFailures(db)),
    workers: again(prepareWorkers(db)),
    partitions: again(preparePartitions(db)),
    pause: again(preparePause(db)),
    resume: again(prepareResume(db)),
    cancel: again(prepareCancel(db)),
    retry: again(prepareRetry(db)),
    remove: again(prepareRemove(db)),
    expire: again(prepareExpire(db)),
    leftovers: again(prepareLeftovers(db)),
    sweep: again(prepareSweep(db)),
    freeRanges: again(prepareFreeRanges(db)),
    freeRange: again(prepareFreeRange(db)),
  };
}

export type Statements = ReturnType<typeof createStatements>;
