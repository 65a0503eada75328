import { describe, expect, it, test } from 'vitest';
import { mayBeCalled } from '../src/webhook/address.ts';
import { checkedLookup } from '../src/webhook/resolve.ts';
import { whyNotUrl } from '../src/webhook/url.ts';

const strict = { allowPrivate: false };
const trusting = { allowPrivate: true };

describe('an address', () => {
  test.each([
    '8.8.8.8', '1.1.1.1', '93.184.216.34', '100.63.255.255', '100.128.0.0', '172.15.0.1', '172.32.0.1', '192.167.1.1', '223.255.255.255',
    '2606:4700:4700::1111', '2001:4860:4860::8888', '2a00:1450:4001::1', '2001:200::1',
  ])('%s is public', (address) => {
    expect(mayBeCalled(address, strict)).toBe(true);
  }); // prettier-ignore

  test.each([
    '0.0.0.0', '0.1.2.3', '10.0.0.1', '10.255.255.255', '100.64.0.1', '100.100.100.200', '100.127.255.255', '127.0.0.1', '127.255.255.254',
    '169.254.169.254', '169.254.0.1', '172.16.0.1', '172.31.255.255', '192.0.0.1', '192.0.0.192', '192.0.2.1', '192.88.99.1',
    '192.168.0.1', '198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1', '224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255',
    '::', '::1', '::ffff:127.0.0.1', '::ffff:8.8.8.8', '::ffff:a00:1', '::127.0.0.1', '0:0:0:0:0:ffff:7f00:1', '64:ff9b::7f00:1', '64:ff9b:1::1',
    '100::1', '2001::1', '2001:db8::1', '2002:7f00:1::', '3fff::1', 'fc00::1', 'fd00:ec2::254', 'fe80::1', 'fe80::1%eth0', 'fec0::1', 'ff02::1',
    '5f00::1', '', 'localhost', '127.1', '0x7f000001', '2130706433', '127.0.0.1.', '[::1]',
  ])('%s is not', (address) => {
    expect(mayBeCalled(address, strict)).toBe(false);
  }); // prettier-ignore

  test('of a private network may be called where the setting says so, and what no receiver has may not', () => {
    for (const address of ['127.0.0.1', '10.0.0.1', '172.16.0.1', '192.168.1.1', '::1', 'fd12::1', '8.8.8.8'])
      expect([address, mayBeCalled(address, trusting)]).toEqual([address, true]);
    for (const address of ['169.254.169.254', '100.100.100.200', 'fd00:ec2::254', 'fe80::1', '0.0.0.0', '224.0.0.1', '::ffff:127.0.0.1', '::ffff:7f00:1'])
      expect([address, mayBeCalled(address, trusting)]).toEqual([address, false]); // prettier-ignore
  });
});

describe('a URL', () => {
  test.each([
    'https://example.org', 'https://example.org/a/b?c=d#e', 'https://sub.example.org:8443/', 'https://example.org:443/', 'https://8.8.8.8/',
    'https://[2606:4700:4700::1111]/', 'https://bücher.example.com/', 'https://example.org.',
  ])('%s is taken', (url) => {
    expect(whyNotUrl(url, strict)).toBeNull();
  }); // prettier-ignore

  const refused: [string, string[]][] = [
    ['is no URL', ['', 'x', 'example.org', '//example.org', 'https://', 'https://example.org/a b', 'https://example.org\\@127.0.0.1/', 'https://exa\nmple.org', 'https://[::1', 'https://256.1.1.1/', 'https://example.org:70000']],
    ['must be an https URL', ['ftp://example.org', 'file:///etc/passwd', 'gopher://127.0.0.1:6379/_x', 'javascript:alert(1)', 'data:,x', 'wss://example.org']],
    ['must be https', ['http://example.org', 'http://8.8.8.8/', 'http://127.0.0.1:9000/', 'http://localhost:9000', 'HTTP://example.org']],
    ['must hold no user and no password: what is sent is signed', ['https://ada@example.org', 'https://ada:x@example.org', 'https://:x@example.org', 'https://example.org:443@127.0.0.1/']],
    ['may have no port below 1024, but for 443', ['https://example.org:22', 'https://example.org:25', 'https://example.org:80', 'https://example.org:0', 'https://example.org:1023']],
    ['is no public address', [
      'https://127.0.0.1', 'https://127.1', 'https://0x7f.1', 'https://0177.0.0.1', 'https://2130706433', 'https://0', 'https://127.0.0.1.', 'https://①②⑦.0.0.1',
      'https://10.0.0.1', 'https://169.254.169.254/latest/meta-data', 'https://0xa9fea9fe', 'https://192.168.1.1', 'https://[::1]', 'https://[::ffff:127.0.0.1]',
      'https://[0:0:0:0:0:ffff:10.0.0.1]', 'https://[fe80::1]', 'https://[fd00::1]', 'https://[64:ff9b::a9fe:a9fe]', 'https://[2002:a00:1::]']],
    ['is no public name', ['https://localhost', 'https://LOCALHOST', 'https://localhost.', 'https://a.localhost', 'https://printer.local', 'https://metadata.google.internal', 'https://router.home.arpa', 'https://postgres']],
  ]; // prettier-ignore
  test.each(refused.flatMap(([why, urls]) => urls.map((url) => [url, why] as const)))('%j: %s', (url, why) => {
    expect(whyNotUrl(url, strict)).toBe(why);
  });

  test('may be http where the setting says so, and only to this machine', () => {
    for (const url of [
      'http://127.0.0.1:9000',
      'http://localhost:9000',
      'http://[::1]:9000',
      'https://10.0.0.1',
      'https://receiver',
    ])
      expect([url, whyNotUrl(url, trusting)]).toEqual([url, null]);
    for (const url of ['http://10.0.0.1', 'http://example.org', 'http://receiver', 'https://169.254.169.254', 'http://127.0.0.1:22', 'http://[::ffff:127.0.0.1]:9000'])
      expect([url, whyNotUrl(url, trusting) === null]).toEqual([url, false]); // prettier-ignore
  });
});

describe('a name', () => {
  const lookUp = (addresses: string[], rules = strict, plain = false): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const lookup = checkedLookup(() => Promise.resolve(addresses), { ...rules, plain });
      lookup('example.org', { all: true }, (error, found) => (error ? reject(error) : resolve(found)));
    });

  it('stands for all its addresses', async () => {
    expect(await lookUp(['8.8.8.8', '2606:4700::1'])).toEqual([
      { address: '8.8.8.8', family: 4 },
      { address: '2606:4700::1', family: 6 },
    ]);
  });

  test.each([
    [['127.0.0.1']],
    [['8.8.8.8', '10.0.0.1']],
    [['8.8.8.8', '::1']],
    [['169.254.169.254']],
    [['::ffff:127.0.0.1']],
    [[]],
  ])('with %j is refused whole', async (addresses) => {
    await expect(lookUp(addresses)).rejects.toThrow('not public');
  });

  it('over http stands for this machine, or is refused', async () => {
    await expect(lookUp(['127.0.0.1'], trusting, true)).resolves.toHaveLength(1);
    await expect(lookUp(['10.0.0.1'], trusting, true)).rejects.toThrow('not public');
    await expect(lookUp(['8.8.8.8'], trusting, true)).rejects.toThrow('not public');
  });
});
