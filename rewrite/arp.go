package rewrite

import "encoding/binary"

// ARPFrameLen is the length in bytes of the frames that this file writes: the
// least that Ethernet allows, without its check sequence.
const ARPFrameLen = 60

// ARP operations (RFC 826).
const (
	ARPOpRequest uint16 = 1
	ARPOpReply   uint16 = 2
)

const arpLen = 28

var broadcastMAC = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ARP is an ARP message for IPv4 over Ethernet (RFC 826). Numbers are in host
// byte order.
type ARP struct {
	Op                   uint16
	SenderMAC, TargetMAC [6]byte
	SenderIP, TargetIP   uint32
}

// ParseARP reads an untagged Ethernet frame into a. It reports false, and leaves
// a alone, when the frame is not a whole ARP message for IPv4 over Ethernet.
func ParseARP(frame []byte, a *ARP) bool {
	if len(frame) < EthernetLen+arpLen || binary.BigEndian.Uint16(frame[12:14]) != etherTypeARP {
		return false
	}
	b := frame[EthernetLen : EthernetLen+arpLen]
	// Hardware type Ethernet, protocol IPv4, address lengths 6 and 4.
	if binary.BigEndian.Uint64(b[0:8])>>16 != 0x0001_0800_06_04 {
		return false
	}
	a.Op = binary.BigEndian.Uint16(b[6:8])
	a.SenderMAC = [6]byte(b[8:14])
	a.SenderIP = binary.BigEndian.Uint32(b[14:18])
	a.TargetMAC = [6]byte(b[18:24])
	a.TargetIP = binary.BigEndian.Uint32(b[24:28])
	return true
}

// PutARP writes into dst the frame of a, from a.SenderMAC to ethDst, padded with
// zeros, and returns [ARPFrameLen]; 0 when dst is shorter.
func PutARP(dst []byte, ethDst [6]byte, a *ARP) int {
	if len(dst) < ARPFrameLen {
		return 0
	}
	dst = dst[:ARPFrameLen]
	copy(dst[0:6], ethDst[:])
	copy(dst[6:12], a.SenderMAC[:])
	binary.BigEndian.PutUint16(dst[12:14], etherTypeARP)
	b := dst[EthernetLen:]
	binary.BigEndian.PutUint64(b[0:8], 0x0001_0800_06_04<<16|uint64(a.Op))
	copy(b[8:14], a.SenderMAC[:])
	binary.BigEndian.PutUint32(b[14:18], a.SenderIP)
	copy(b[18:24], a.TargetMAC[:])
	binary.BigEndian.PutUint32(b[24:28], a.TargetIP)
	clear(b[arpLen:])
	return ARPFrameLen
}

// ARPReply writes into dst the reply that says request.TargetIP is at mac, to
// the station that frame, the request's, came from. It returns [ARPFrameLen]; 0
// when dst is shorter, or when the message is no request or names a group as
// its sender.
func ARPReply(dst, frame []byte, mac [6]byte, request *ARP) int {
	if request.Op != ARPOpRequest || len(frame) < EthernetLen || frame[6]&1 != 0 || request.SenderMAC[0]&1 != 0 {
		return 0
	}
	return PutARP(dst, [6]byte(frame[6:12]), &ARP{
		Op:        ARPOpReply,
		SenderMAC: mac, SenderIP: request.TargetIP,
		TargetMAC: request.SenderMAC, TargetIP: request.SenderIP,
	})
}

// GratuitousARP writes into dst the announcement that ip (host byte order) is
// at mac: a broadcast request with ip as sender and target (RFC 5227 2.3). It
// returns [ARPFrameLen]; 0 when dst is shorter.
func GratuitousARP(dst []byte, mac [6]byte, ip uint32) int {
	return PutARP(dst, broadcastMAC, &ARP{Op: ARPOpRequest, SenderMAC: mac, SenderIP: ip, TargetIP: ip})
}

// ARPProbe writes into dst the question whether somebody on the link has ip
// (host byte order): a broadcast request without sender address, which changes
// no neighbour's table (RFC 5227 2.1.1). It returns [ARPFrameLen]; 0 when dst
// is shorter.
func ARPProbe(dst []byte, mac [6]byte, ip uint32) int {
	return PutARP(dst, broadcastMAC, &ARP{Op: ARPOpRequest, SenderMAC: mac, TargetIP: ip})
}
