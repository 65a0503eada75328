// The child of the supervisor's tests. What it does is said by its argument.
const [what] = process.argv.slice(2);
process.on('disconnect', () => process.exit(1));
process.on('SIGTERM', () => {
  if (what !== 'stubborn') process.exit(5);
});
if (what === 'misconfigured') process.exit(78);
if (what === 'fails') process.exit(3);
process.send?.({ type: 'ready', pid: process.pid });
