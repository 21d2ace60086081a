// Package e2e has no code of its own: its tests run the natlb program as users
// do, in networks of real kernels, with real clients and real servers.
//
//	test ─► lab (namespaces, veth, bridges) ─► natlb run, nginx, iperf3, curl
//	  │                                            │
//	  └── judges by what clients and servers saw ──┘
//
// The tests need no root where ordinary users may have user namespaces. What is
// missing on the machine is a reason to skip; where CI=true is set it is a
// failure. NATLB_BIN names a program to test; without it the tree's own is built.
package e2e
