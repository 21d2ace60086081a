// Package pcapfile reads and writes capture files: classic pcap and pcapng, of
// any byte order and clock resolution.
//
//	file ─► Reader.Next ─► Packet: bytes, time, length on the wire, link type, comments
//	Packet ─► Writer ─► pcap or pcapng
//
// Reading copies nothing: a packet's bytes are the reader's own buffer. The
// formats are those of the drafts draft-ietf-opsawg-pcap and
// draft-ietf-opsawg-pcapng, the link types those of tcpdump.org/linktypes.html.
package pcapfile
