package sched

import "natlb/ipvs"

// census counts the servers of which something is true.
type census struct {
	watched
	is    func(*ipvs.RealServer) bool
	of    ipvs.Numbers // what the answer depends on
	yes   []bool
	count int
}

// Update takes the new list.
func (c *census) Update(servers []*ipvs.RealServer, _ UpdateKind, _ *ipvs.RealServer) {
	if !c.take(servers, c.of) {
		return
	}
	c.yes, c.count = make([]bool, len(servers)), 0
	for i := range servers {
		c.update(i)
	}
}

// any reports whether there is one.
func (c *census) any() bool {
	c.refresh(c.update)
	return c.count > 0
}

func (c *census) update(i int) {
	was := c.yes[i]
	c.yes[i] = c.is(c.servers[i])
	switch {
	case c.yes[i] && !was:
		c.count++
	case was && !c.yes[i]:
		c.count--
	}
}

// fork returns the census of the servers' twins.
func (c *census) fork(twin Twins) census {
	f := census{is: c.is, of: c.of}
	f.Update(twin.All(c.servers), Init, nil)
	return f
}
