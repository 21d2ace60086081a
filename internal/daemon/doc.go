// Package daemon joins the rooms of natlb into the running director, `natlb
// run`: the data path, what the host knows, the guard, and the control socket.
//
//	host (routes, neighbours, addresses) ─► picture ─► dataplane.Director ◄─ ports
//	                 │                                      ▲
//	                 └─► guard rules ─► nftables            │ transactions, listings
//	                                                        │
//	                     socket ─► control.Server ─► front ─┘
//
// It is the one place that sees both dataplane and control, which do not know
// each other.
package daemon
