package dataplane

import "encoding/binary"

// vnetLen is the size of struct virtio_net_hdr (linux/virtio_net.h), which a
// socket with PACKET_VNET_HDR puts in front of each frame.
const vnetLen = 10

// vnetHeader is a struct virtio_net_hdr as packet sockets use it: the legacy
// layout, 16-bit fields in the machine's own byte order.
type vnetHeader [vnetLen]byte

// decode reads the header into o.
func (h *vnetHeader) decode(o *Offload) {
	o.Flags = h[0]
	o.GSO = h[1]
	o.HdrLen = binary.NativeEndian.Uint16(h[2:])
	o.GSOSize = binary.NativeEndian.Uint16(h[4:])
	o.CsumStart = binary.NativeEndian.Uint16(h[6:])
	o.CsumOffset = binary.NativeEndian.Uint16(h[8:])
}

// encode writes o into the header.
func (h *vnetHeader) encode(o *Offload) {
	h[0] = o.Flags
	h[1] = o.GSO
	binary.NativeEndian.PutUint16(h[2:], o.HdrLen)
	binary.NativeEndian.PutUint16(h[4:], o.GSOSize)
	binary.NativeEndian.PutUint16(h[6:], o.CsumStart)
	binary.NativeEndian.PutUint16(h[8:], o.CsumOffset)
}
