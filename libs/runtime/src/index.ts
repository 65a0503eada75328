export * from './await-servers.ts';
export * from './settings.ts';
export * from './log.ts';
export * from './lifecycle.ts';
export * from './listen.ts';
export * from './loop.ts';
export * from './services/index.ts';
export * from './supervise.ts';
