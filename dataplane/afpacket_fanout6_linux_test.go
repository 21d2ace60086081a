package dataplane

import (
	"encoding/binary"
	"testing"

	"natlb/rewrite"
)

// TestSteeringInTheKernel has the kernel run the programs: frames of both families
// come to the socket of the shard that owns their client.
func TestSteeringInTheKernel(t *testing.T) {
	l := newWireLab(t, 1)
	vip := rewrite.Addr6{Hi: 0xfd10 << 48, Lo: 1}
	st := steering{shards: 2}
	group := &Fanout{Program: FanoutProgram(Steering{Side: VIPSide | DIPSide, VIPs: []uint32{0x0a090a01}, VIPs6: []rewrite.Addr6{vip}})}
	filter := Filter(Capture{Addrs4: []uint32{0x0a090a01}, Addrs6: []rewrite.Addr6{vip}})
	var ports [2]*AFPacket
	for i := range ports {
		ports[i] = l.open(0, AFPacketConfig{Filter: filter, Fanout: group})
	}
	var far *AFPacket
	var err error
	l.on(0, func() { far, err = OpenAFPacket(AFPacketConfig{Interface: "eth0"}) })
	l.must(err)
	defer far.Close()
	to, from := l.hosts[0].near.Attrs().HardwareAddr, l.hosts[0].eth.Attrs().HardwareAddr

	var frames []Frame
	var want [2][]byte // the numbers of the frames, each its last byte
	put := func(etherType uint16, packet []byte, owner int) {
		n := byte(len(frames) + 1)
		f := binary.BigEndian.AppendUint16(append(append([]byte{}, to...), from...), etherType)
		frames = append(frames, Frame{Data: append(append(f, packet...), n)})
		want[owner] = append(want[owner], n)
	}
	for port := range uint16(20) {
		client := rewrite.Addr6{Hi: 0x20010db8 << 32, Lo: uint64(port) << 40}
		p := steered{proto: 17, ports: [2]uint16{4000 + port, 53}}
		if port%2 == 0 {
			p.extensions, p.lengths = []byte{rewrite.ExtHopByHop, rewrite.ExtDestination}, []int{1, 0}
		}
		put(etherTypeIPv6, p.packet(client, vip), st.of(client.Fold(), 4000+port))

		four := make([]byte, 28)
		four[0], four[9] = 0x45, rewrite.ProtoUDP
		binary.BigEndian.PutUint32(four[12:], 0x0a0a0300)
		binary.BigEndian.PutUint32(four[16:], 0x0a090a01)
		binary.BigEndian.PutUint16(four[20:], port)
		put(etherTypeIPv4, four, st.of(0x0a0a0300, port))
	}
	if n, err := far.Send(frames); n != len(frames) || err != nil {
		t.Fatalf("Send = %d, %v, want %d, nil", n, err, len(frames))
	}
	fs := make([]Frame, 64)
	for i, p := range ports {
		var got []byte
		for len(got) < len(want[i]) {
			for _, f := range l.next(p, fs) {
				if !isChatter(f.Data) {
					got = append(got, f.Data[len(f.Data)-1])
				}
			}
		}
		if string(got) != string(want[i]) {
			t.Errorf("shard %d gets frames %v, want %v", i, got, want[i])
		}
	}
}

// isChatter tells the hosts' own frames: ARP and ICMPv6.
func isChatter(frame []byte) bool {
	kind := binary.BigEndian.Uint16(frame[12:])
	return kind == etherTypeARP || kind == etherTypeIPv6 && frame[20] == rewrite.ProtoICMPv6
}
