// Package ftp reads the lines of an FTP control connection that announce a data
// connection, and writes the part of them that names an endpoint (RFC 959
// sections 4.1.2 and 4.2, RFC 2428).
//
//	client                          server
//	PORT 203,0,113,9,15,160    ──►            active:  the server connects to it
//	EPRT |1|203.0.113.9|4000|  ──►            (|2|2001:db8::9|4000| of IPv6)
//	PASV                       ──►
//	                           ◄──  227 Entering Passive Mode (10,0,0,1,117,49)
//	EPSV                       ──►
//	                           ◄──  229 Entering Extended Passive Mode (|||30001|)
//
// A line is only understood when the segment has it to its end, because the last
// digits of a port may be in the next one; what is not understood is not this
// package's business, and never an error. Nothing here
// keeps its arguments or panics on any input, and nothing but an EPRT of IPv6 makes
// it allocate.
package ftp
