// Package dataplane is the path of a packet through natlb.
//
//	[Port] ─► Frame ─► Shard.Process(frame, now) ─► Verdict, frames to send ─► [Port]
//
// A [Shard] owns a connection table and everything else that a packet touches;
// Process is deterministic: bytes and a time go in, a verdict and rewritten
// frames come out. No clock, socket, goroutine, log line or allocation is
// inside. A [Director] holds what shards share: virtual services, their
// schedulers and real servers. The live loop ([Worker]), pcap replay, tests and
// benchmarks all drive the same Process.
package dataplane
