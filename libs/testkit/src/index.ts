export { hasRedis, testRedisUrl } from './backend.ts';
export { createDatabase, databaseForTest, type TestDatabase } from './database.ts';
export { dropReplyTo } from './drop-proxy.ts';
export { createDice, type Dice } from './dice.ts';
export { eventually } from './eventually.ts';
export { type BatchAnswer, type House, type HouseOptions, startHouse } from './house.ts';
export { checkLedger } from './ledger.ts';
export { type App, type AppProcess, startApp } from './process.ts';
export { redisCommand, redisPid } from './redis.ts';
