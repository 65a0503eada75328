export { createAccess, type Access, type Asked, type Caller, challenge, type Refused, whyForbidden } from './access.ts';
export { makeKey, rowOfKey } from './key.ts';
