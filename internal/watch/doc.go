// Package watch makes the live table of natlb watch: services and servers, and
// what has passed between two readings of the director.
//
//	control.Client.Snapshot ─► Reading ┐
//	           an interval later ─► Reading ┴─► Between ─► Table ─► Lines, JSON
//
// Rates are told from counters and the director's own clock, so that an interval
// that was late is not a rate that was high.
package watch
