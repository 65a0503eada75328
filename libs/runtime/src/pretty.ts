import pretty from 'pino-pretty';

/** One readable line an entry: time, level, process, message, then the fields. */
export const pinoPretty = (): ReturnType<typeof pretty> =>
  pretty({
    translateTime: 'SYS:HH:MM:ss',
    ignore: 'name,pid,hostname',
    messageFormat: '{name}: {msg}',
    singleLine: true,
    sync: true,
  });
