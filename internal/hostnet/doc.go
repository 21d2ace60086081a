// Package hostnet is what natlb knows of its host's network, and the guard
// that keeps the host's own kernel away from natlb's packets.
//
//	kernel --netlink events--> follow --hints--> build --dumps--> View (immutable)
//	                                                                |
//	        Resolve --RTM_NEWNEIGH, NTF_USE--> kernel ARP, ND       +--> Route, Neighbour, Link, IsLocal
//
//	GuardRules --> Guard.Apply --one nftables transaction--> table netdev natlb
//
// A [Host] follows one network namespace: the one of the thread that called
// [Open]. All its sockets are made there, so its goroutines may run on any
// thread afterwards. Everything comes over netlink, the forwarding switches
// too; no file below /proc/sys is read, because such a file shows the namespace
// of whichever thread happens to read it.
//
// Events about links, addresses, routes and forwarding are only hints to dump
// these anew: the kernel removes IPv4 routes without a word when a link goes
// down or an address goes away, and a replaced route is not named. Neighbours,
// which change often, are updated one by one and never rebuild the routes.
//
// A [Guard] owns exactly one nftables table, natlb of family netdev, whose
// chains drop at ingress: before the IP stack and after the ETH_P_ALL packet
// sockets, which therefore still see every packet.
package hostnet
