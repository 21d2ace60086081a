package ipvs

import "net/netip"

// Explanation says what a director would do with one packet, and why. It is
// plain text and numbers, for listings and for JSON: protocols, methods and
// verdicts are words in lower case, MAC addresses are text, times are seconds.
type Explanation struct {
	Received Packet   `json:"received"`
	Verdict  string   `json:"verdict"`
	Meaning  string   `json:"meaning"`       // of the verdict, one sentence
	Why      []string `json:"why,omitempty"` // what else led to it

	// How the packet's owner was found. Service and Search are absent when an
	// answer was asked about, Search also when a connection took the packet.
	Connection *ExplainedEntry    `json:"connection,omitempty"` // that was there already
	Mark       uint32             `json:"mark,omitempty"`       // the packet's firewall mark
	Search     []SearchStep       `json:"search,omitempty"`
	Service    *ExplainedService  `json:"service,omitempty"`
	NearMisses []NearMiss         `json:"near_misses,omitempty"`
	LeftOut    int                `json:"near_misses_left_out,omitempty"`
	Template   *ExplainedTemplate `json:"template,omitempty"` // of a persistent service
	Pick       *ExplainedPick     `json:"pick,omitempty"`     // absent when the scheduler was not asked
	Server     *netip.AddrPort    `json:"server,omitempty"`   // the real server that gets or has sent the packet

	// What comes of it.
	Entry   *ExplainedEntry `json:"entry,omitempty"` // the connection as the packet leaves it
	Sent    []Packet        `json:"sent,omitempty"`
	Held    *Packet         `json:"held,omitempty"` // waits for the next hop's MAC address
	NextHop *ExplainedHop   `json:"next_hop,omitempty"`
}

// Packet is one IPv4 packet in its Ethernet frame.
type Packet struct {
	Link        string         `json:"link"` // that it comes in or goes out by
	SrcMAC      string         `json:"src_mac"`
	DstMAC      string         `json:"dst_mac"`
	Protocol    string         `json:"protocol"`
	Src         netip.AddrPort `json:"src"` // port 0 where there is none
	Dst         netip.AddrPort `json:"dst"`
	TTL         uint8          `json:"ttl"`
	Length      int            `json:"length"` // of the IP packet, bytes
	Flags       string         `json:"tcp_flags,omitempty"`
	Chunk       string         `json:"sctp_chunk,omitempty"` // that IPVS goes by
	ICMP        string         `json:"icmp,omitempty"`       // what an ICMP message says
	ChecksumsOK bool           `json:"checksums_ok"`         // of the IP header and of what it carries, of a fragment of the header
	Frame       string         `json:"frame"`                // all bytes, hexadecimal
}

// SearchStep is one place where a service was looked for.
type SearchStep struct {
	Looked string `json:"looked"` // for what
	Found  bool   `json:"found"`
	Why    string `json:"why,omitempty"` // it was not found
}

// ExplainedService names a virtual service with what matters for one packet.
type ExplainedService struct {
	Protocol       string         `json:"protocol,omitempty"` // absent with a mark
	Address        netip.AddrPort `json:"address,omitzero"`
	Mark           uint32         `json:"mark,omitempty"`
	IPv6           bool           `json:"ipv6,omitempty"` // the family of a mark
	Scheduler      string         `json:"scheduler"`
	PersistTimeout uint32         `json:"persist_timeout,omitempty"`
	OnePacket      bool           `json:"one_packet,omitempty"`
}

// NearMiss is a service that the packet just missed.
type NearMiss struct {
	Protocol string         `json:"protocol,omitempty"`
	Address  netip.AddrPort `json:"address,omitzero"`
	Mark     uint32         `json:"mark,omitempty"`
	IPv6     bool           `json:"ipv6,omitempty"` // the family of a mark
	Why      string         `json:"why"`
}

// ExplainedEntry is a connection or a template.
type ExplainedEntry struct {
	Protocol string         `json:"protocol"`
	State    string         `json:"state"`
	Client   netip.AddrPort `json:"client"`
	Virtual  netip.AddrPort `json:"virtual"`
	Dest     netip.AddrPort `json:"dest"`
	Source   netip.AddrPort `json:"source,omitzero"` // by FullNAT what the server sees in the client's place
	Mark     uint32         `json:"mark,omitempty"`
	Method   string         `json:"method"`
	Timeout  float64        `json:"timeout_seconds"` // after each packet
	Expires  float64        `json:"expires_seconds"`
	Flags    []string       `json:"flags,omitempty"`
	Packets  uint32         `json:"in_packets"`
}

// ExplainedTemplate is what persistence does.
type ExplainedTemplate struct {
	Outcome string          `json:"outcome"`         // found, made, replaced or none
	Why     string          `json:"why,omitempty"`   // it was replaced, or there is none
	Entry   *ExplainedEntry `json:"entry,omitempty"` // as the packet leaves it
}

// ExplainedPick is what the scheduler looked at. Of the candidates that are not
// out the least load/per wins, or with Most the greatest, the first among equals.
type ExplainedPick struct {
	Scheduler  string               `json:"scheduler"`
	Rule       string               `json:"rule,omitempty"`     // absent when the scheduler does not say why
	Compares   string               `json:"compares,omitempty"` // a name for load/per
	Most       bool                 `json:"most,omitempty"`
	Facts      []ExplainedFact      `json:"facts,omitempty"`
	Candidates []ExplainedCandidate `json:"candidates"`
	Server     *netip.AddrPort      `json:"server,omitempty"` // the pick; absent: nobody
}

// ExplainedFact is something that a comparison starts from.
type ExplainedFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ExplainedCandidate is a server as the scheduler saw it.
type ExplainedCandidate struct {
	Address        netip.AddrPort `json:"address"`
	Method         string         `json:"method"`
	Weight         int32          `json:"weight"`
	Active         int32          `json:"active"`
	Inactive       int32          `json:"inactive"`
	PersistConns   int32          `json:"persist_conns"`
	UpperThreshold uint32         `json:"upper_threshold,omitempty"`
	LowerThreshold uint32         `json:"lower_threshold,omitempty"`
	Overloaded     bool           `json:"overloaded,omitempty"`
	Deleted        bool           `json:"deleted,omitempty"`
	Load           int64          `json:"load"`
	Per            int64          `json:"per,omitempty"` // 0: not compared
	Out            string         `json:"out,omitempty"`
	Note           string         `json:"note,omitempty"`
	Picked         bool           `json:"picked,omitempty"`
}

// ExplainedHop is the way on.
type ExplainedHop struct {
	To       netip.Addr `json:"to"`           // where the packet goes in the end
	Via      netip.Addr `json:"via,omitzero"` // whose MAC address is wanted: a gateway, or To itself
	Kind     string     `json:"kind"`
	Link     string     `json:"link,omitempty"`
	MTU      int        `json:"mtu,omitempty"`
	MAC      string     `json:"mac,omitempty"` // absent: not known
	Resolved bool       `json:"resolved"`
	Failed   bool       `json:"failed,omitempty"` // it does not answer
	Stale    bool       `json:"stale,omitempty"`  // to be confirmed
}
