export type ServiceErrorCode =
  | 'already-running'
  | 'data-dir'
  | 'postgres-missing'
  | 'postgres-version'
  | 'postgres-start'
  | 'redis-missing'
  | 'redis-start';

/** Expected trouble with the embedded servers. The message is one or two complete lines that say what to do; 78 is sysexits' EX_CONFIG. */
export class ServiceError extends Error {
  readonly code: ServiceErrorCode;
  readonly exitCode = 78;

  constructor(code: ServiceErrorCode, message: string) {
    super(message);
    this.name = 'ServiceError';
    this.code = code;
  }
}
