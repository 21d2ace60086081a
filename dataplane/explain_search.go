package dataplane

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"natlb/ipvs"
	"natlb/rewrite"
)

// search tells the search for the packet's service step by step, as services.find
// goes about it: what it found is where it ends.
func (t *trial) search() []ipvs.SearchStep {
	v, p := t.view, &t.packet
	vip := dstAddr(p)
	byMark, ftp := len(v.four.byMark), v.four.ftp
	if p.V6 {
		byMark, ftp = len(v.six.byMark), v.six.ftp
	}
	var steps []ipvs.SearchStep
	step := func(why, looked string, args ...any) bool {
		steps = append(steps, ipvs.SearchStep{Looked: fmt.Sprintf(looked, args...), Found: why == "", Why: why})
		return why == ""
	}
	found := func(is bool, why string) string {
		if is && t.service != nil {
			return ""
		}
		return why
	}
	key := ipvs.ServiceKey{}
	if t.service != nil {
		key = t.service.key
	}
	marked := "there is none for this mark"
	switch {
	case byMark == 0:
		marked = "there is none"
	case t.mark == 0:
		marked = "the packet has no mark"
	}
	if step(found(key.IsMark(), marked), "a firewall-mark service") {
		return steps
	}
	proto := ipvs.Protocol(p.Proto)
	if step(found(key.VIP.Port() == p.DstPort, "there is none"), "%v %v", proto, netip.AddrPortFrom(vip, p.DstPort)) {
		return steps
	}
	if ftp && p.Proto == rewrite.ProtoTCP && p.DstPort != ftpPort {
		why := "there is none"
		if p.DstPort != ftpDataPort && p.DstPort < userPorts {
			why = fmt.Sprintf("port %d cannot be one of FTP data", p.DstPort)
		}
		if step(found(key.VIP.Port() == ftpPort, why), "FTP data of %v %v", proto, netip.AddrPortFrom(vip, ftpPort)) {
			return steps
		}
	}
	step(found(t.service != nil, "there is none"), "%v %v, all ports", proto, netip.AddrPortFrom(vip, 0))
	return steps
}

// mostNearMisses bounds what is told of services that did not match.
const mostNearMisses = 8

// nearMisses returns the services that the packet just missed, the nearest first
// and then in order of creation, and how many more there are.
func (t *trial) nearMisses() (misses []ipvs.NearMiss, more int) {
	type miss struct {
		ipvs.NearMiss
		far int
	}
	var all []miss
	for _, key := range t.keys {
		if t.service != nil && key == t.service.key {
			continue
		}
		if far, why := t.misses(key); far > 0 {
			m := ipvs.NearMiss{Address: key.VIP, Mark: key.Mark, IPv6: key.V6, Why: why}
			if !key.IsMark() {
				m.Protocol = word(key.Proto)
			}
			all = append(all, miss{m, far})
		}
	}
	slices.SortStableFunc(all, func(a, b miss) int { return cmp.Compare(a.far, b.far) })
	for _, m := range all[:min(len(all), mostNearMisses)] {
		misses = append(misses, m.NearMiss)
	}
	return misses, len(all) - len(misses)
}

// misses says why a service is not the packet's and how far off it is: 0 for one
// that is not worth a word.
func (t *trial) misses(key ipvs.ServiceKey) (far int, why string) {
	p := &t.packet
	addr, port := key.VIP.Addr() == dstAddr(p), key.VIP.Port() == p.DstPort
	proto := key.Proto == ipvs.Protocol(p.Proto)
	switch {
	case key.Is6() != p.V6:
		return 0, ""
	case key.IsMark() && t.mark == 0:
		return 4, "the packet has no firewall mark"
	case key.IsMark():
		return 4, fmt.Sprintf("another mark: the packet has %d", t.mark)
	case addr && proto && (port || key.VIP.Port() == 0 || key.VIP.Port() == ftpPort && t.service != nil && t.service.port == 0):
		return 1, "asked later: the search had ended"
	case addr && proto:
		return 2, "another port"
	case addr && port:
		return 2, "another protocol"
	case proto && port:
		return 3, "another address"
	}
	return 0, ""
}
