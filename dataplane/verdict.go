package dataplane

// Verdict says what became of a received frame. Every frame gets exactly one,
// and each verdict has a counter: their sum is the number of frames received.
type Verdict uint8

// The verdicts. Forward and Route mean that the frame was handed to its outlet;
// Answer* that natlb sent something back instead; Pass* that the frame is the
// host's business; Held* that it waits inside natlb (and is counted anew when
// it moves on); Drop* that it ended here, and why.
const (
	// Forward: sent on for a connection, in either direction.
	Forward Verdict = iota
	// Route: sent on untranslated, as the real servers' gateway.
	Route

	AnswerARP             // the question who has a VIP
	AnswerND              // the same of IPv6
	AnswerEcho            // a ping of a VIP
	AnswerReset           // RST or ABORT for a packet that nobody wants
	AnswerPortUnreachable // a datagram that nobody wants
	AnswerProtocol        // a protocol that nobody speaks
	AnswerNoDestination   // no real server may take the connection
	AnswerTimeExceeded    // TTL used up
	AnswerTooBig          // does not fit the way on and must not be cut
	AnswerUnreachable     // no way to the real server
	AnswerUnsolicited     // sysctl nat_icmp_send: a real server's packet outside of connections

	PassHost      // addressed to the host itself
	PassOther     // not for a service and not from a real server
	PassEtherType // neither IP nor ARP
	PassVLAN      // tagged for some VLAN
	PassOtherHost // another machine's frame, flooded by a switch

	HeldFragment  // waits for the rest of its packet
	HeldNeighbour // waits for the next hop's MAC address

	DropTruncated         // captured shorter than it was
	DropHeader            // malformed Ethernet, IP, ARP or neighbour discovery header
	DropHeaderChecksum    // wrong IPv4 header checksum
	DropTransport         // malformed TCP, UDP, SCTP or ICMP header
	DropOffload           // offload metadata that natlb does not know
	DropMartian           // from an address that no other machine can have
	DropElsewhere         // the way on is by an interface that natlb does not have
	DropServerGone        // its real server was deleted
	DropLimited           // an ICMP answer was due and over the rate limit
	DropNoDestination     // no real server, and no answer is owed
	DropTableFull         // connection table at its cap
	DropDefence           // sysctl drop_packet: one of so many new connections
	DropNoSource          // the director has no address to send a tunnel's packet from
	DropNoSourceAddress   // there is no source address for FULLNAT
	DropNoSourcePort      // FULLNAT: no free port of a source address was found
	DropLocalServer       // the real server is the director itself
	DropNoRoute           // no route, and no answer is owed
	DropTTL               // TTL used up, and no answer is owed
	DropTooBig            // too big, and no answer is owed
	DropICMPChecksum      // an ICMP error with a wrong checksum
	DropChecksum          // a wrong TCP checksum on a connection with a helper
	DropNeighbourFailed   // the next hop did not answer
	DropNeighbourFull     // too many frames wait for next hops
	DropFragmentOverlap   // fragments that contradict each other
	DropFragmentTimeout   // the rest never came
	DropFragmentMemory    // too many incomplete packets
	DropNoBuffer          // no room left for generated frames in this batch
	DropAddressOwnedTwice // ARP or neighbour discovery: another machine claims a VIP

	NumVerdicts = int(iota)

	// HandedOver is no verdict but the word that another shard has it: the packet
	// is that shard's, and counted there.
	HandedOver = Verdict(NumVerdicts)
)

var verdictNames = [NumVerdicts]string{
	Forward: "forward", Route: "route",
	AnswerARP: "answer-arp", AnswerND: "answer-nd", AnswerEcho: "answer-echo", AnswerReset: "answer-reset",
	AnswerPortUnreachable: "answer-port-unreachable", AnswerProtocol: "answer-protocol-unreachable",
	AnswerNoDestination: "answer-no-destination", AnswerTimeExceeded: "answer-time-exceeded",
	AnswerTooBig: "answer-too-big", AnswerUnreachable: "answer-host-unreachable", AnswerUnsolicited: "answer-unsolicited",
	PassHost: "pass-host", PassOther: "pass-other", PassEtherType: "pass-ethertype",
	PassVLAN: "pass-vlan", PassOtherHost: "pass-other-host",
	HeldFragment: "held-fragment", HeldNeighbour: "held-neighbour",
	DropTruncated: "drop-truncated", DropHeader: "drop-header", DropHeaderChecksum: "drop-header-checksum",
	DropTransport: "drop-transport-header", DropOffload: "drop-offload",
	DropMartian: "drop-martian", DropElsewhere: "drop-elsewhere",
	DropServerGone: "drop-server-gone", DropLimited: "drop-answer-limited",
	DropNoDestination: "drop-no-destination", DropTableFull: "drop-table-full", DropDefence: "drop-defence", DropNoSource: "drop-no-source",
	DropNoSourceAddress: "drop-no-source-address", DropNoSourcePort: "drop-no-source-port", DropLocalServer: "drop-local-server", DropNoRoute: "drop-no-route", DropTTL: "drop-ttl", DropTooBig: "drop-too-big",
	DropICMPChecksum: "drop-icmp-checksum", DropChecksum: "drop-checksum", DropNeighbourFailed: "drop-neighbour-failed",
	DropNeighbourFull: "drop-neighbour-full", DropFragmentOverlap: "drop-fragment-overlap",
	DropFragmentTimeout: "drop-fragment-timeout", DropFragmentMemory: "drop-fragment-memory",
	DropNoBuffer: "drop-no-buffer", DropAddressOwnedTwice: "drop-vip-conflict",
}

// String returns the verdict's name, as counters and documents use it.
func (v Verdict) String() string {
	if int(v) < NumVerdicts {
		return verdictNames[v]
	}
	if v == HandedOver {
		return "handed-over"
	}
	return "unknown"
}
