package oracletest

import "natlb/internal/packettest"

// capture is a running capture on one side of the director.
type capture struct {
	link        uint8
	from, shown int // in the packets of the link's wire
}

func (p *player) startCapture(s step) result {
	link := uint8(dipLink)
	if id := s.text("id", ""); id == "vip" || id == "cl" {
		link = vipLink
	}
	n := len(p.net.wires[link])
	p.caps[s.text("id", "")] = &capture{link, n, n}
	return result{}
}

// showCapture returns the packets since the last look.
func (p *player) showCapture(s step) result {
	c := p.caps[s.text("id", "")]
	if c == nil {
		return result{"error": "no capture"}
	}
	p.pause(seconds(s.number("settle", 0.05)))
	out := []string{}
	for _, f := range p.net.wires[c.link][c.shown:] {
		out = append(out, p.raw.relabel(packettest.Describe(f.frame)))
	}
	c.shown = len(p.net.wires[c.link])
	return result{"packets": out}
}

func (p *player) setMTU(s step) result {
	link := uint8(dipLink)
	if s.text("if", "") == "vip" {
		link = vipLink
	}
	p.net.setMTU(link, int(s.number("mtu", mtu)))
	return result{}
}
