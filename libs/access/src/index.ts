export { createAccess, type Access, type Asked, type Caller, type Refused, whyForbidden } from './access.ts';
export { makeKey, rowOfKey } from './key.ts';
