package sched

import (
	"time"

	"natlb/ipvs"
)

// none is the scheduler of a service without one: it never picks, so every new
// connection finds no destination. Connections and templates that exist go on.
//
// Source: the name "none" in ip_vs_ctl.c.
type none struct{}

// Schedule picks nothing.
func (none) Schedule(*Flow, time.Duration) *ipvs.RealServer { return nil }

// Update has nothing to keep.
func (none) Update([]*ipvs.RealServer, UpdateKind, *ipvs.RealServer) {}

// Fork implements [Scheduler].
func (none) Fork(*Flow, Twins) Scheduler { return none{} }

// Explain implements [Explainer].
func (none) Explain(*Flow, time.Duration) Reasons { return Reasons{Rule: "nobody is ever picked"} }
