import { BlockList, isIP, isIPv4 } from 'node:net';

type Range = readonly [address: string, prefix: number];

/** The special-purpose addresses of IANA's registry that are not globally reachable, and multicast. */
const notPublic4: readonly Range[] = [
  ['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16], ['172.16.0.0', 12], ['192.0.0.0', 24],
  ['192.0.2.0', 24], ['192.31.196.0', 24], ['192.52.193.0', 24], ['192.88.99.0', 24], ['192.168.0.0', 16], ['192.175.48.0', 24],
  ['198.18.0.0', 15], ['198.51.100.0', 24], ['203.0.113.0', 24], ['224.0.0.0', 4], ['240.0.0.0', 4],
]; // prettier-ignore

/** All of IPv6 that is public: what holds an IPv4 address (mapped, NAT64) lies outside, but for 6to4 and Teredo. */
const public6: readonly Range[] = [['2000::', 3]];
const notPublic6: readonly Range[] = [['2001::', 23], ['2001:db8::', 32], ['2002::', 16], ['2620:4f:8000::', 48], ['3fff::', 20]]; // prettier-ignore

const private4: readonly Range[] = [['10.0.0.0', 8], ['127.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16]]; // prettier-ignore
const private6: readonly Range[] = [['::1', 128], ['fc00::', 7]]; // prettier-ignore
/** Where clouds tell a machine its secrets, within a private range. */
const metadata: readonly Range[] = [['fd00:ec2::254', 128]];

function listOf(ranges: readonly Range[]): (address: string) => boolean {
  const list = new BlockList();
  for (const [address, prefix] of ranges) list.addSubnet(address, prefix, isIPv4(address) ? 'ipv4' : 'ipv6');
  return (address) => list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
}

const isNotPublic4 = listOf(notPublic4);
const isPublic6 = listOf(public6);
const isNotPublic6 = listOf(notPublic6);
const isPrivate4 = listOf(private4);
const isPrivate6 = listOf(private6);
const isMetadata = listOf(metadata);

const isPublic = (address: string): boolean =>
  isIPv4(address) ? !isNotPublic4(address) : isPublic6(address) && !isNotPublic6(address);

/** Kept apart: to a list of IPv4 ranges an IPv6 address that holds one of IPv4 is that one. */
const isPrivate = (address: string): boolean =>
  isIPv4(address) ? isPrivate4(address) : isPrivate6(address) && !isMetadata(address);

export const isLoopback = listOf([['127.0.0.0', 8], ['::1', 128]]); // prettier-ignore

/** Whether a webhook may be sent to this address, an IPv4 or IPv6 literal without brackets and zone. Anything else: false. */
export function mayBeCalled(address: string, { allowPrivate }: { allowPrivate: boolean }): boolean {
  if (isIP(address) === 0 || address.includes('%')) return false;
  return isPublic(address) || (allowPrivate && isPrivate(address));
}
