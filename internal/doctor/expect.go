package doctor

import (
	"os"
	"slices"

	"natlb/internal/ipvsadm"
	"natlb/ipvs"
)

// expect fills in what the command line says of a director that does not run
// yet.
func (f *Facts) expect(o *Options) {
	add := func(names []string, side func(*Link) *bool) {
		for _, name := range names {
			if f.link(name) == nil {
				f.Links = append(f.Links, Link{Name: name})
			}
			*side(f.link(name)) = true
		}
	}
	add(o.VIPLinks, func(l *Link) *bool { return &l.VIP })
	add(o.DIPLinks, func(l *Link) *bool { return &l.DIP })
	f.Named = len(f.Links) > 0
	if o.Rules == "" {
		return
	}
	file, err := os.Open(o.Rules)
	if err == nil {
		defer file.Close()
		var rules *ipvsadm.Rules
		if rules, err = ipvsadm.ParseRules(file, o.Rules); err == nil {
			f.Services = serviceTable(rules.Changes)
			return
		}
	}
	f.RulesErr = err.Error()
}

// serviceTable returns the services that changes lead to, as far as the doctor
// looks at them.
func serviceTable(changes []ipvs.Change) (table []ipvs.ServiceStatus) {
	for i := range changes {
		c := &changes[i]
		at := slices.IndexFunc(table, func(s ipvs.ServiceStatus) bool { return s.Key == c.Service.Key })
		switch {
		case c.Kind == ipvs.FlushServices:
			table = nil
		case c.Kind == ipvs.AddService && at < 0:
			table = append(table, ipvs.ServiceStatus{Service: c.Service})
		case at < 0:
		case c.Kind == ipvs.EditService:
			table[at].Service = c.Service
		case c.Kind == ipvs.DeleteService:
			table = slices.Delete(table, at, at+1)
		default:
			changeServer(&table[at], c)
		}
	}
	return table
}

func changeServer(s *ipvs.ServiceStatus, c *ipvs.Change) {
	at := slices.IndexFunc(s.Destinations, func(d ipvs.DestinationStatus) bool { return d.Addr == c.Destination.Addr })
	switch {
	case c.Kind == ipvs.AddDestination && at < 0:
		s.Destinations = append(s.Destinations, ipvs.DestinationStatus{Destination: c.Destination})
	case at < 0:
	case c.Kind == ipvs.EditDestination:
		s.Destinations[at].Destination = c.Destination
	case c.Kind == ipvs.DeleteDestination:
		s.Destinations = slices.Delete(s.Destinations, at, at+1)
	}
}
