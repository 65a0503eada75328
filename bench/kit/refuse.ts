/** Why figures of this process would mean nothing, one line each; [] is good. */
export function refusals(env: NodeJS.ProcessEnv, execArgv: readonly string[]): string[] {
  const inspected = [...execArgv, env['NODE_OPTIONS'] ?? ''].some((arg) => /--inspect|--prof|--cpu-prof/.test(arg));
  const level = env['LOG_LEVEL'] ?? 'info';
  return [
    ...(inspected
      ? ['Node runs under --inspect or a profiler, and figures would tell of that: unset NODE_OPTIONS']
      : []),
    ...((env['NODE_ENV'] ?? 'production') === 'production' ? [] : [`NODE_ENV is ${env['NODE_ENV']}: unset it`]),
    ...(level === 'debug' || level === 'trace' ? [`LOG_LEVEL is ${level}: unset it`] : []),
  ];
}
