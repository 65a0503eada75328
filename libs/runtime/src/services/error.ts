export type ServiceErrorCode =
  | 'already-running'
  | 'data-dir'
  | 'postgres-missing'
  | 'postgres-version'
  | 'postgres-start'
  | 'redis-missing'
  | 'redis-start'
  | 'queue-backend';

/** Expected trouble with the embedded servers. The message is one or two complete lines that say what to do; 78 is sysexits' EX_CONFIG. */
export class ServiceError extends Error {
  readonly code: ServiceErrorCode;
  readonly exitCode = 78;

  constructor(code: ServiceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ServiceError';
    this.code = code;
  }
}
