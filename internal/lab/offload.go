package lab

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offload is what an interface leaves to others: which work the sender's kernel
// does not do because the device says that it will. It decides what crosses a
// veth pair.
type Offload struct {
	TX  bool // checksums: frames leave with partial ones
	TSO bool // cutting TCP streams: super-packets of up to 64 KiB leave whole
	GSO bool // cutting late, in software, for what the device cannot cut
	GRO bool // joining received segments to super-packets
}

// The offloads that the tests play.
var (
	// SuperPackets is what veth and virtio do unasked: partial checksums and
	// super-packets.
	SuperPackets = Offload{TX: true, TSO: true, GSO: true}
	// Segments is one frame per segment, checksums still partial.
	Segments = Offload{TX: true}
	// Complete is one frame per segment with complete checksums, as off a
	// real wire.
	Complete = Offload{}
)

// SetOffload switches the offloads of one interface, as ethtool -K does.
func (n *Namespace) SetOffload(link string, o Offload) error {
	return n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("ethtool socket: %w", err)
		}
		defer unix.Close(fd)
		for _, s := range o.switches() {
			if err := ethtoolSet(fd, link, s.command, s.on); err != nil {
				return fmt.Errorf("ethtool -K %s %s: %w", link, s.word, err)
			}
		}
		return nil
	})
}

// offloadSwitch is one ETHTOOL_S* command of linux/ethtool.h.
type offloadSwitch struct {
	word    string
	command uint32
	on      bool
}

// switches lists the commands in an order that works both ways: checksums
// before segmentation, which the kernel allows only with checksums; turning
// checksums off takes segmentation along, and switching that off again is no
// error.
func (o Offload) switches() []offloadSwitch {
	return []offloadSwitch{
		{"tx", unix.ETHTOOL_STXCSUM, o.TX},
		{"tso", unix.ETHTOOL_STSO, o.TSO},
		{"gso", unix.ETHTOOL_SGSO, o.GSO},
		{"gro", unix.ETHTOOL_SGRO, o.GRO},
	}
}

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct{ command, data uint32 }

// ethtoolRequest is struct ifreq of linux/if.h with its data pointer.
type ethtoolRequest struct {
	name  [unix.IFNAMSIZ]byte
	value *ethtoolValue
	_     [24 - unsafe.Sizeof(uintptr(0))]byte // the rest of the union, so that the kernel may write it
}

// ethtoolSet gives one switch command to the driver of link.
func ethtoolSet(fd int, link string, command uint32, on bool) error {
	value := ethtoolValue{command: command}
	if on {
		value.data = 1
	}
	request := ethtoolRequest{value: &value}
	if copy(request.name[:unix.IFNAMSIZ-1], link) < len(link) {
		return unix.ENAMETOOLONG
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}
