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

// build counts those of a new list.
func (c *census) build() {
	c.yes, c.count = make([]bool, len(c.servers)), 0
	for i := range c.servers {
		c.update(i)
	}
}

// any reports whether there is one.
func (c *census) any() bool {
	c.refresh(c.of, c.build, c.update)
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
	return census{watched: c.watched.fork(twin), is: c.is, of: c.of}
}
