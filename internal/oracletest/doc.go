// Package oracletest plays the recorded scenarios of tools/oracle against the
// core in memory: no root, no network namespaces, no sleeping.
//
//	scenario ─► steps ─┬─ ipvsadm.Run ───────────────► dataplane.Director
//	                   │                                     │
//	                   └─ clients ── VIP wire ── Shard ── DIP wire ── real servers
//	                          (hosts with a small TCP, UDP and ICMP, on one virtual clock)
//	result of each step ─► compared with what a real kernel did
//
// The clock is the recording's: before each step it is put forward to the moment
// at which the kernel was given that step, so expiry times are comparable and a
// timeout of 900 s takes microseconds. What cannot play alike yet stands in
// testdata/skips.txt, by scenario and step with its reason; a line that is no
// longer needed fails the test.
//
// Everything is in test files, so nothing else can come to depend on it.
package oracletest
