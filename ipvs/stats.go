package ipvs

// Stats are the five counters of a service, a destination or the whole
// director (semantics section 7). Bytes are IP total lengths, header included,
// Ethernet excluded; in is client to server.
type Stats struct {
	Conns    uint64 `json:"conns"`
	InPkts   uint64 `json:"in_packets"`
	OutPkts  uint64 `json:"out_packets"`
	InBytes  uint64 `json:"in_bytes"`
	OutBytes uint64 `json:"out_bytes"`
}

// Add adds o to s.
func (s *Stats) Add(o Stats) {
	s.Conns += o.Conns
	s.InPkts += o.InPkts
	s.OutPkts += o.OutPkts
	s.InBytes += o.InBytes
	s.OutBytes += o.OutBytes
}

// Sub returns s - o, counter by counter.
func (s Stats) Sub(o Stats) Stats {
	return Stats{
		s.Conns - o.Conns, s.InPkts - o.InPkts, s.OutPkts - o.OutPkts,
		s.InBytes - o.InBytes, s.OutBytes - o.OutBytes,
	}
}

// Rates are the estimator's five averages: per second, bytes (not bits) in the
// last two.
type Rates struct {
	CPS    uint64 `json:"conns"`
	InPPS  uint64 `json:"in_packets"`
	OutPPS uint64 `json:"out_packets"`
	InBPS  uint64 `json:"in_bytes"`
	OutBPS uint64 `json:"out_bytes"`
}

// Timeouts are the three settable connection timeouts, in seconds: TCP
// ESTABLISHED, TCP FIN_WAIT and UDP. In a change 0 leaves a value as it is.
type Timeouts struct {
	TCP    uint32 `json:"tcp"`
	TCPFin uint32 `json:"tcpfin"`
	UDP    uint32 `json:"udp"`
}

// DefaultTimeouts are the kernel's: 900, 120 and 300 s.
var DefaultTimeouts = Timeouts{TCP: 900, TCPFin: 120, UDP: 300}

// MaxTimeout is the greatest settable timeout, 31 days in seconds.
const MaxTimeout = 31 * 86400
