package control

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"natlb/ipvs"
)

// Counts are connections and persistence templates in groups, the largest group
// first.
type Counts struct {
	By     string  `json:"by"`
	Groups []Tally `json:"groups"`
	// Others is what is in none of the groups, because there are too many.
	Others Tally `json:"others"`
	Total  Tally `json:"total"`
}

// Tally is one group: its name and what is in it.
type Tally struct {
	Name        string `json:"name,omitempty"`
	Connections uint64 `json:"connections"`
	Templates   uint64 `json:"templates"`
}

// mostGroups bounds the groups: clients may be as many as connections.
const mostGroups = 1 << 16

// countedBy are the ways to count, by their word.
var countedBy = map[string]func(*ipvs.ConnStatus) string{
	"server": func(c *ipvs.ConnStatus) string { return c.Dest.String() },
	"client": func(c *ipvs.ConnStatus) string { return c.Client.Addr().String() },
	"state":  func(c *ipvs.ConnStatus) string { return c.State },
	"service": func(c *ipvs.ConnStatus) string {
		if c.Service == (ipvs.ServiceKey{}) {
			return "unknown"
		}
		return c.Service.String()
	},
}

// CountedBy returns the words of the ways to count.
func CountedBy() []string { return []string{"server", "client", "state", "service"} }

func (g *Tally) add(c *ipvs.ConnStatus) {
	if c.Template {
		g.Templates++
	} else {
		g.Connections++
	}
}

// serveCounts counts in the director, so that millions of connections need not
// travel.
func (s *Server) serveCounts(w http.ResponseWriter, r *http.Request) {
	filter, err := filterOf(r.URL.Query())
	by := r.URL.Query().Get("by")
	name := countedBy[by]
	if err == nil && name == nil {
		err = fmt.Errorf("%w: connections are counted by %s, not %q", ipvs.ErrInvalid, strings.Join(CountedBy(), ", "), by)
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	counts := Counts{By: by, Groups: []Tally{}}
	groups := map[string]*Tally{}
	s.director.Connections(func(c ipvs.ConnStatus) bool {
		if r.Context().Err() != nil || !filter.conn(&c) {
			return r.Context().Err() == nil
		}
		counts.Total.add(&c)
		key := name(&c)
		g := groups[key]
		switch {
		case g == nil && len(groups) >= mostGroups:
			g = &counts.Others
		case g == nil:
			g = &Tally{Name: key}
			groups[key] = g
		}
		g.add(&c)
		return true
	})
	for _, g := range groups {
		counts.Groups = append(counts.Groups, *g)
	}
	slices.SortFunc(counts.Groups, func(a, b Tally) int {
		return cmp.Or(cmp.Compare(b.Connections+b.Templates, a.Connections+a.Templates), strings.Compare(a.Name, b.Name))
	})
	s.reply(w, http.StatusOK, countsReply{s.header(), counts})
}
