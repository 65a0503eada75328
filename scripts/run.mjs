// The door: `node scripts/run.mjs <command>`. Kept to the syntax of Node 12, so that an old one gets as far as its refusal.
const [major, minor] = process.versions.node.split('.').map(Number);
const fits = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major >= 24;

if (fits) {
  import('./main.mjs')
    .then((main) => main.run(process.argv.slice(2)))
    .catch((error) => {
      console.error(error);
      process.exit(70); // EX_SOFTWARE
    });
} else {
  console.error(
    'Bullpen needs Node 20.19+, 22.12+ or 24+; this is ' +
      process.versions.node +
      '. Get one from https://nodejs.org/en/download, or with a version manager: nvm install 24',
  );
  // sysexits' EX_CONFIG: starting again would not help.
  process.exit(78);
}
