import { checkSameQueue, openDatabase, processName } from '@bullpen/db';
import { databaseForTest, eventually } from '@bullpen/testkit';
import { expect, it } from 'vitest';

it('finds the processes of this database that have their queues elsewhere, as long as they are there', async () => {
  const { db, url } = await databaseForTest();
  const open = async (name: string) => {
    const opened = openDatabase({ url, max: 1, name, durable: true });
    expect(await opened.ping()).toEqual([]);
    return opened;
  };
  const same = await open(processName('producer', 'redis'));
  expect(await checkSameQueue(db, 'redis')).toEqual({ problems: [], away: false });
  const other = await open(processName('worker', 'postgres', 'a name (redis)'));
  expect(await checkSameQueue(db, 'redis')).toEqual({
    problems: [expect.stringMatching(/^A worker on \S+ has the queues of this database in PostgreSQL, .* in Redis: /)],
    away: true,
  });
  expect((await checkSameQueue(db, 'postgres')).problems).toEqual([
    expect.stringMatching(/^A producer on .* in Redis/),
  ]);
  await other.close();
  await eventually('it is gone', async () => !(await checkSameQueue(db, 'redis')).away);
  await same.close();
});
