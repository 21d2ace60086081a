// Package lab builds small networks of real kernels inside one process: the
// classroom of the LVS course, on which `natlb demo` plays and the end-to-end
// tests judge.
//
//	         192.168.0.0/24                           192.168.56.0/24
//	client ──────[ switch ]────── vip0  director  dip0 ──────[ switch ]────── server-1
//	.11 .12 ...                   .1              .102           └─────────── server-2
//	                       VIP .178: natlb's own                              .101 .103 ...
//
// Every box is a [Namespace]: an anonymous network namespace, known by nothing
// but an open descriptor and the threads inside it. The wires are veth pairs
// and bridges, laid by netlink; no external program is run, no file under
// /run/netns is made.
//
// Nothing outlives the lab. [Enter] first moves the whole program into fresh
// user, network, mount and pid namespaces (as root without the user namespace):
//
//	outer (waits, passes signals on) ─► init (pid 1, reaps) ─► inside (the caller) ─► directors, clients, shells
//
// When init or inside dies, the kernel kills all that is in the pid namespace;
// when outer dies, init dies with it; with the last process go the namespaces
// and what was mounted in them.
package lab
