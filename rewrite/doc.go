// Package rewrite reads and changes IPv4 and IPv6 packets in Ethernet frames, in place.
//
// It knows bytes and nothing of services, servers or connections. A frame is
// parsed once into a [Packet], a small value of offsets and fields, and every
// other function takes the frame and that value together:
//
//	           ┌ Ethernet ┐┌ IP + options, extensions ┐┌ TCP, UDP, SCTP, ICMP … ┐┌ padding ┐
//	frame      0          L3                          L4                        End
//
//	Parse ─► DNAT / SNAT, DecrementTTL, SetMACs                 ─► on its way
//	     ├─► ParseQuoted ─► TranslateICMPIn / TranslateICMPOut  ─► on its way
//	     ├─► ICMPError, EchoReply, TCPReset (a new frame)       ─► back to the sender
//	     ├─► ParseND ─► NDReply (a new frame)                   ─► back to the sender
//	     └─► Segment, Fragment, CompleteChecksum (new frames)   ─► a link that cannot take it whole
//
//	fragments ─► AppendWholeHeaders, Piece, SetWhole ─► Parse
//	Probe (a new frame) ─► Parse: what if such a packet came?
//
// Addresses and ports are integers in host byte order everywhere in the API, of
// IPv6 two words ([Addr6]); [Parse] converts once. One Packet serves both families,
// and so does every function that takes one, but for those that are given an
// address: they have a sister whose name ends in 6, for packets with V6 set.
//
// # Rules
//
// Nothing here allocates, blocks, logs or keeps a reference to its arguments,
// so any goroutine may call any function on memory that it owns. Functions that
// take a frame with its Packet expect the Packet that [Parse] filled from
// that very frame with [FaultNone] or [FaultL4]; under that condition no content
// of a frame makes them panic. Functions that write a new frame into dst need
// dst and frame not to overlap; they return the length written, or 0 and an
// unspecified dst when dst is too small or nothing is to be written.
//
// # Checksums
//
// NAT updates checksums incrementally (RFC 1624). An L4 checksum is complete or
// partial: partial is what offloading interfaces hand over (virtio's
// NEEDS_CSUM), where the field holds the plain sum of the pseudo header and
// whoever sends the frame finishes the work. IPv6 has no checksum of its header, and
// its ICMP sums the pseudo header as TCP does. A wrong L4 checksum stays wrong
// through NAT, as in the kernel, and the endpoint discards the packet.
package rewrite
