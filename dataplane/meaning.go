package dataplane

// verdictMeanings are what docs/verdicts.md says the verdicts mean.
var verdictMeanings = [NumVerdicts]string{
	Forward:               "sent on for a connection, in either direction",
	Route:                 "sent on untranslated: what a real server sends outside of connections, and the answers to it",
	AnswerARP:             "somebody asked who has a VIP that natlb owns",
	AnswerND:              "somebody asked by neighbour discovery who has an IPv6 VIP that natlb owns",
	AnswerEcho:            "a ping of a VIP",
	AnswerReset:           "RST or ABORT: a TCP or SCTP port of a VIP without a service, or a packet of no connection",
	AnswerPortUnreachable: "a UDP port of a VIP without a service",
	AnswerProtocol:        "a protocol to a VIP that natlb does not speak (GRE, ESP, ...)",
	AnswerNoDestination:   "a service has no server that may take the connection: none at all, all of weight 0, all overloaded (-x), or the one that sh, dh or mh hashes to is",
	AnswerTimeExceeded:    "TTL used up on the way through",
	AnswerTooBig:          "longer than the outlet's MTU and not to be cut: frag-needed, or of IPv6 packet too big, was sent",
	AnswerUnreachable:     "no route to the real server (or the client), or it does not answer ARP or neighbour discovery",
	AnswerUnsolicited:     "sysctl nat_icmp_send: a real server's packet that belongs to no connection",
	PassHost:              "for the director itself (ssh, its DIP, ARP, neighbour discovery), broadcast, or a port of a VIP that the host owns",
	PassOther:             "not for a service and not from a real server",
	PassEtherType:         "neither IP nor ARP: LLDP, spanning tree",
	PassVLAN:              "tagged for a VLAN",
	PassOtherHost:         "flooded by a switch, for another machine; or the director's own",
	HeldFragment:          "the rest of its packet is missing yet",
	HeldNeighbour:         "the next hop's MAC address is being asked for",
	DropTruncated:         "captured shorter than it was, or shorter than its headers",
	DropHeader:            "malformed Ethernet, IP, ARP or neighbour discovery header",
	DropHeaderChecksum:    "wrong IPv4 header checksum",
	DropTransport:         "malformed TCP, UDP, SCTP or ICMP header in a packet to a VIP or a server",
	DropOffload:           "offload metadata that natlb does not know",
	DropMartian:           "would open a connection from an address that no other machine can have: loopback, a group, a VIP, an address of the director; or from a link-local one, to which no way leads back",
	DropElsewhere:         "the way to the real server, or back to the client, leaves by an interface that natlb was not given",
	DropServerGone:        "its real server was deleted while it had connections, as in the kernel",
	DropLimited:           "an ICMP error was due, over the host's rate limit (icmp_ratelimit, ipv6 icmp/ratelimit, icmp_msgs_per_sec)",
	DropNoDestination:     "as answer-no-destination, where no answer is owed",
	DropTableFull:         "the table is at its cap and holds nothing that may go",
	DropDefence:           "sysctl drop_packet: one of so many new connections",
	DropNoSource:          "a tunnel's packet would have no source: the director has no address on the way to the server",
	DropNoSourceAddress:   "a connection by --fullnat needs an address to reach the server from, and the director has none of its family",
	DropNoSourcePort:      "a connection by --fullnat found no free port: of the source addresses, nearly all ports are in use with this server",
	DropLocalServer:       "the real server is an address of the director, and it was added with -m, or the host does not have the VIP",
	DropNoRoute:           "no route, and no answer is owed",
	DropTTL:               "TTL used up, and no answer is owed",
	DropTooBig:            "too big, and no answer is owed, or it could not be cut",
	DropICMPChecksum:      "an ICMP error about a connection with a wrong checksum",
	DropChecksum:          "a TCP segment of an FTP control connection with a wrong checksum",
	DropNeighbourFailed:   "the next hop did not answer ARP or neighbour discovery in time",
	DropNeighbourFull:     "too many frames wait for next hops already",
	DropFragmentOverlap:   "fragments that contradict each other",
	DropFragmentTimeout:   "the rest did not come within half a minute",
	DropFragmentMemory:    "too many incomplete packets wait; the oldest made room",
	DropNoBuffer:          "this batch made more frames than there is room for",
	DropAddressOwnedTwice: "another machine says by ARP or neighbour discovery that a VIP is its own",
}

// verdictAdvice is what docs/verdicts.md says to do about the verdicts, where
// there is something to do or to know.
var verdictAdvice = [NumVerdicts]string{
	Forward:               "nothing: this is the work",
	Route:                 "nothing; --no-route switches it off. If replies of a service are counted here, the server answers from another address or port than the rules say",
	AnswerReset:           "much of it right after a restart: old connections being told. Otherwise a client uses a port that no service has",
	AnswerPortUnreachable: "add the service, or find who sends",
	AnswerProtocol:        "nothing, or find who sends",
	AnswerNoDestination:   "natlb -L -n --thresholds; add servers, raise weights or -x, or -b sh-fallback. The client sees \"connection refused\"",
	AnswerTimeExceeded:    "a routing loop, or traceroute",
	AnswerTooBig:          "path MTU discovery at work; if it does not stop, something drops ICMP on the sender's side",
	AnswerUnreachable:     "is the server up, on this network, at this address?",
	AnswerUnsolicited:     "nothing; it is what the setting asks for",
	PassOther:             "nothing. With --no-route the servers' own traffic is here",
	PassVLAN:              "if it should be balanced, give natlb the VLAN device (--vip-if eth0.5)",
	HeldNeighbour:         "nothing, unless the number stays: then see drop-neighbour-failed",
	DropTruncated:         "a broken sender; if many, an interface that hands over cut frames",
	DropHeader:            "a broken or hostile sender",
	DropHeaderChecksum:    "a broken sender or a bad cable",
	DropTransport:         "a broken or hostile sender",
	DropOffload:           "report it, with interface, driver and ethtool -k",
	DropMartian:           "look for spoofing, or for a machine that was given the VIP too",
	DropElsewhere:         "give it (--vip-if, --dip-if), or mend the route (ip route get)",
	DropServerGone:        "to end them at once: natlb sysctl expire_nodest_conn=1. Better: -e ... -w 0 first, -d when they are gone",
	DropLimited:           "nothing; a flood, if many",
	DropNoDestination:     "natlb -L -n --thresholds; add servers, raise weights or -x",
	DropTableFull:         "--max-conns; under a flood drop_entry, drop_packet, secure_tcp",
	DropDefence:           "the defence at work; natlb sysctl drop_packet=0 ends it",
	DropNoSource:          "ip addr add DIP/24 dev IF",
	DropNoSourceAddress:   "natlb source add ADDRESS, a free one of the servers' network",
	DropNoSourcePort:      "natlb source add more addresses: each is good for 64,512 connections with each server and port",
	DropLocalServer:       "-g and a VIP of the host, or another machine: natlb doctor",
	DropNoRoute:           "is the server up, on this network, at this address? ip route get says which way there is",
	DropTTL:               "a routing loop, or traceroute",
	DropTooBig:            "the outlet's MTU is too small for anything useful",
	DropICMPChecksum:      "a broken sender",
	DropChecksum:          "a broken sender or a bad cable",
	DropNeighbourFailed:   "is the server or the router up? natlb drops names those that cannot be reached, and sysctl quiesce_unreachable=1 keeps new connections from them",
	DropNeighbourFull:     "a server or router is down under load: is it up, does it answer ARP or neighbour discovery?",
	DropFragmentOverlap:   "hostile: nobody sends these by accident",
	DropFragmentTimeout:   "losses on the way, or hostile",
	DropFragmentMemory:    "a flood of fragments; or large UDP at a high rate over a path with a smaller MTU: raise the MTU",
	DropNoBuffer:          "now and then: nothing, TCP sends again. Always: report it",
	DropAddressOwnedTwice: "find it, by the MAC address in the log, and take the address away from it",
}

// Meaning returns the verdict in one sentence, for people.
func (v Verdict) Meaning() string {
	if int(v) < NumVerdicts {
		return verdictMeanings[v]
	}
	return "unknown"
}

// Advice returns what an operator does about the verdict, empty if that is
// nothing.
func (v Verdict) Advice() string {
	if int(v) < NumVerdicts {
		return verdictAdvice[v]
	}
	return ""
}
