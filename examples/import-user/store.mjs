/** What the API holds: in memory, gone with the process. Each act answers {status, body}. */
export function createStore() {
  /** By their names. */
  const organisations = new Map();
  const ids = new Set();
  /** By their ids. */
  const users = new Map();
  /** Users by the Idempotency-Key under which they were made. */
  const byKey = new Map();
  /** How often an email was made. */
  const emails = new Map();
  const members = new Set();
  let repeated = 0;

  const good = (body, status = 200) => ({ status, body });
  const bad = (status, code, message) => ({ status, body: { code, message } });

  return {
    list: (limit) => good([...organisations.values()].slice(0, limit)),

    organisation(name) {
      let found = organisations.get(name);
      if (found === undefined) organisations.set(name, (found = { id: `o${organisations.size + 1}`, name }));
      ids.add(found.id);
      return good(found);
    },

    createUser({ email, name } = {}, key) {
      if (typeof email !== 'string' || typeof name !== 'string') return bad(422, 'invalid', 'give email and name');
      if (email.endsWith('@blocked.example')) return bad(422, 'email-blocked', `${email} is on the list of blocked ones`);
      const before = byKey.get(key);
      if (before !== undefined) {
        repeated += 1;
        return good(before);
      }
      const user = { id: `u${users.size + 1}`, email, name };
      users.set(user.id, user);
      emails.set(email, (emails.get(email) ?? 0) + 1);
      if (key !== undefined) byKey.set(key, user);
      return good(user, 201);
    },

    join(id, { userId } = {}) {
      if (!ids.has(id)) return bad(404, 'no-organisation', `there is no organisation ${id}`);
      if (!users.has(userId)) return bad(422, 'no-user', `there is no user ${userId}`);
      members.add(`${id} ${userId}`);
      return good({});
    },

    /** `doubled`: users beyond the first of the same email. `repeated`: calls that an Idempotency-Key kept from making one more. */
    facts: () => ({
      users: users.size,
      members: members.size,
      organisations: organisations.size,
      doubled: users.size - emails.size,
      repeated,
    }),
  };
}

/** Numbers in [0, 1) that depend on the seed alone: mulberry32. */
export function createDraw(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
