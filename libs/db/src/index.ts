export { openDatabase, defaultSchema, type Database, type OpenDatabase } from './database.ts';
export { checkDatabase } from './check.ts';
export { auditCounts, type CountsAudit } from './inspect/counts.ts';
export { inspectServer, type ServerFacts } from './inspect/server.ts';
export { inspectSpace, type SpaceFacts } from './inspect/space.ts';
export { inspectWaits, type WaitFacts } from './inspect/waits.ts';
export { inspectWork, type WorkFacts } from './inspect/work.ts';
export { checkSameQueue, processName } from './same-queue.ts';
export { migrate, migrationState, type MigrationState } from './migrate.ts';
export { install, type Installation } from './installation.ts';
export { fingerprintOf } from './fingerprint.ts';
export {
  codeOf,
  createTraffic,
  mayHaveCommitted,
  verdictOf,
  withRetry,
  type Patience,
  type Traffic,
  type Verdict,
} from './retry.ts';
export { createStatements, type Statements } from './statements/index.ts';
export type { ApiKeyRow, NewApiKey } from './statements/api-keys.ts';
export type { Who } from './statements/audit.ts';
export type { NewBatch, NewChunk } from './statements/accept.ts';
export type { Append, Appended } from './statements/append.ts';
export type { NewJob, Placed } from './statements/append-jobs.ts';
export type { Awaited } from './statements/settled.ts';
export { KeyTaken, type Key, type Receipt } from './statements/keys.ts';
export type { Upload, UploadedChunk, WholeUpload } from './statements/upload.ts';
export { joinTexts, splitTexts } from './bind.ts';
export { suspectFrom, type Claimed, type Inputs } from './statements/claim.ts';
export type { ClaimedRow, LineClaim } from './statements/claim-line.ts';
export type { BatchFilter, BatchPlan, BatchRow, BatchState, ProgressRow, ReducedRow } from './statements/counts.ts';
export type { FailureRow } from './statements/failures.ts';
export type { Flushed, Outcome, Rest, Settled } from './statements/flush.ts';
export type { LineFlush, SettledRow } from './statements/flush-line.ts';
export type { Unfolded } from './statements/fold.ts';
export type { Heartbeat, WorkerFacts } from './statements/heartbeat.ts';
export type { InputsRow } from './statements/inputs.ts';
export type { Help } from './statements/help.ts';
export type { SlotsAnswer, SlotsAsked, SlotsLeased } from './statements/lease-slots.ts';
export { batchLimit, handlerLimit, type Limit } from './statements/limits.ts';
export type { Queued } from './statements/lost.ts';
export type { Marked } from './statements/mark.ts';
export type { Owned, OwnedPartition } from './statements/own.ts';
export type { PartitionRow } from './statements/partitions.ts';
export type { NewWorker } from './statements/register.ts';
export type { Repaired } from './statements/repair.ts';
export type { HandlerLimit } from './statements/set-limits.ts';
export type { PermitsAsked, PermitsShared } from './statements/share-permits.ts';
export type { ResultRow, ResultsRequest } from './statements/results.ts';
export type { Standing } from './statements/standing.ts';
export type { Holding } from './statements/stall.ts';
export { expiredMax } from './statements/remove.ts';
export type { Telling, Told, Webhook, WebhookState } from './statements/tell.ts';
export { streamsMax } from './statements/trim.ts';
export type { Window } from './statements/windows.ts';
export type { WorkerRow } from './statements/workers.ts';
