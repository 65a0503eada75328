/** Throw it to fail an item for good. `code` is a short word for programs, `message` is for people. */
export class Fail extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.name = 'Fail';
    this.code = code;
  }
}

/** Throw it to have an item tried again after `afterMs` instead of the usual backoff. It counts as an attempt. */
export class Retry extends Error {
  readonly afterMs: number;
  constructor({ afterMs, message = 'asked to be tried again' }: { afterMs: number; message?: string }) {
    super(message);
    this.name = 'Retry';
    this.afterMs = afterMs;
  }
}
