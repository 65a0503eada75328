import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDice, type Dice, eventually, type Trial } from '@bullpen/testkit';

/** A single item under its key, and where it was told to be. */
export interface Placed {
  key: string;
  batchId: string;
  index: number;
}

/** What an append and a single item are answered. */
type Place = Pick<Placed, 'batchId' | 'index'>;

export interface Load {
  /** Items that were accepted. */
  accepted: () => number;
  singles: readonly Placed[];
  /** What went wrong for a client that must not. */
  faults: string[];
  /** Takes on nothing more; resolves when each client has got its last answer. */
  stop: () => Promise<void>;
}

/** Servers are killed meanwhile, on a machine that others use too. */
const patienceMs = 120_000;

/** Clients that hand over work of several handlers at once, each in its own way, until they are stopped. */
export function startLoad({ client, submit }: Trial, seed: number, itemsPerSecond: number): Load {
  const faults: string[] = [];
  const singles: Placed[] = [];
  let accepted = 0;
  let isOver = false;

  const post = async (path: string, body: unknown): Promise<Place> => {
    const headers = { 'content-type': 'application/json', 'idempotency-key': `soak-${randomUUID()}` };
    return await eventually(
      `POST ${path} is answered`,
      async (): Promise<Place | null> => {
        const answer = await client.ask(path, { method: 'POST', headers, body: JSON.stringify(body) });
        if (answer.status >= 200 && answer.status < 300) return answer.body as unknown as Place;
        if (answer.status !== 0 && answer.status < 500 && answer.status !== 409 && answer.status !== 429)
          throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
        await sleep(100);
        return null;
      },
      patienceMs,
    );
  };

  /** Does it again and again, with a pause before each. */
  async function again(pauseMs: number, dice: Dice, once: () => Promise<number>): Promise<void> {
    while (!isOver) {
      await sleep(pauseMs * (0.5 + dice.roll()));
      if (isOver) return;
      await once().then(
        (items) => (accepted += items),
        (error: unknown) => faults.push(`I4 ${(error as Error).message}`),
      );
    }
  }

  const bulk = async (dice: Dice): Promise<number> => {
    const count = Math.round(itemsPerSecond * 8 * (0.5 + dice.roll()));
    const id = await client.submit({ handler: 'echo', count }, patienceMs);
    const [what, ms] = [dice.roll(), dice.roll() * 3000];
    if (what < 0.1) await sleep(ms / 3).then(() => client.control(id, 'cancel'));
    else if (what < 0.2) await pauseFor(id, ms);
    return count;
  };

  const pauseFor = async (id: string, ms: number): Promise<void> => {
    await client.control(id, 'pause');
    await sleep(ms);
    await eventually('it goes on', () => client.control(id, 'resume').then((done) => done || hasEnded(id)), patienceMs);
  };
  const hasEnded = async (id: string): Promise<boolean> => {
    const found = await client.read(id);
    return found !== null && found.state !== 'paused';
  };

  const failing = async (dice: Dice): Promise<number> => {
    const count = 200 + dice.below(2000);
    const params = { rate: dice.roll() / 2, message: 'as asked', ...(dice.chance(0.5) && { untilAttempt: 2 }) };
    await client.submit({ handler: 'fail', count, params, options: { backoffMs: 100 } }, patienceMs);
    return count;
  };

  /** An open batch that grows in its own time. */
  const growing = async (dice: Dice): Promise<number> => {
    const inputs = Array.from({ length: 100 }, (_, at) => at);
    const id = await client.submit({ handler: 'echo', inputs, options: { open: true } }, patienceMs);
    const call = client.calls.find((each) => each.id === id)!;
    for (let appends = dice.below(20); appends > 0; appends -= 1) {
      await sleep(dice.roll() * 500);
      const more = inputs.slice(0, 1 + dice.below(100));
      await post(`/v1/batches/${id}/items`, more);
      call.total += more.length;
    }
    await eventually('it is closed', () => client.control(id, 'close'), patienceMs);
    return call.total;
  };

  /** One that asks once and never again: what it is refused must not be there. */
  const hasty = async (dice: Dice): Promise<number> => {
    const count = 1 + dice.below(50);
    return (await client.tryOnce({ handler: 'echo', count })) === 202 ? count : 0;
  };

  const single = async (): Promise<number> => {
    const { batchId, index } = await post('/v1/jobs/echo', 1);
    singles.push({ key: String(singles.length), batchId, index });
    return 1;
  };

  const run = async (work: Parameters<Trial['submit']>[0] & { count: number }): Promise<number> => {
    await submit(work);
    return work.count;
  };

  /** A pause that was held up on its way may have come after the client had left. */
  async function resumeAll(): Promise<void> {
    for (const { id } of client.calls)
      if (id !== null && (await client.read(id))?.state === 'paused') await client.control(id, 'resume');
  }

  const dice = (n: number): Dice => createDice(seed * 97 + n);
  const [one, two, three, four, five, six, seven] = [1, 2, 3, 4, 5, 6, 7].map(dice) as [
    Dice,
    Dice,
    Dice,
    Dice,
    Dice,
    Dice,
    Dice,
  ];
  const clients = [
    again(8000, one, () => bulk(one)),
    again(3000, two, () => failing(two)),
    again(3000, three, () => growing(three)),
    again(200, four, single),
    again(1000, seven, () => hasty(seven)),
    // These are watched: slow enough that some are in hand whenever something happens.
    again(3000, five, () =>
      run({ count: 100 + five.below(400), ms: 20 + five.below(400), options: { chunkSize: 20 } }),
    ),
    again(3000, six, () => run({ count: 100 + six.below(300), ms: 5 + six.below(50), keys: 5 + six.below(40) })),
  ];
  return {
    accepted: () => accepted,
    singles,
    faults,
    async stop(): Promise<void> {
      isOver = true;
      await Promise.all(clients);
      await resumeAll();
    },
  };
}
