package conntrack

// Helper is what a protocol helper keeps about a connection with the flag Helped.
// Few connections have one, so it lives beside the table and not in the entry.
type Helper struct {
	// Out is how the server's sequence numbers are moved.
	Out SeqAdjust

	// Awaits is the reply that the helper is waiting for, in its own numbers; 0
	// for none.
	Awaits uint8
	// Rewrote is the kind of the last reply that was rewritten and RewroteAt the
	// server's sequence number of it, so that a retransmission is treated alike.
	Rewrote   uint8
	RewroteAt uint32
}

// Helper returns what is kept about entry r, which has the flag Helped; it makes
// it if there is none yet. It goes when the entry does.
func (t *Table) Helper(r Ref) *Helper {
	h := t.helpers[r]
	if h == nil {
		if t.helpers == nil {
			t.helpers = map[Ref]*Helper{}
		}
		h = new(Helper)
		t.helpers[r] = h
	}
	return h
}

// SeqAdjust moves the sequence numbers of one direction of a TCP connection in
// which a helper has made a segment longer or shorter. Two shifts are in force at
// a time: the newest, and for what lies before the place where it began the one
// before it (semantics 11.1; nf_conntrack_seqadj.c). Numbers wrap. The zero value
// moves nothing.
type SeqAdjust struct {
	Init     uint32 // original sequence number of the last segment that was resized
	Delta    int32  // shift of what comes after Init
	Previous int32  // shift of what comes up to Init
}

// Resize says that the segment with original sequence number seq has become diff
// bytes longer, or shorter if diff is negative. A segment that is not newer than
// the last one has been counted already.
func (a *SeqAdjust) Resize(seq uint32, diff int32) {
	if diff == 0 || *a != (SeqAdjust{}) && int32(seq-a.Init) <= 0 {
		return
	}
	a.Init, a.Previous, a.Delta = seq, a.Delta, a.Delta+diff
}

// Seq returns the sequence number that the receiver is to see for the original
// one: of the resized segment itself the start is where the old shift puts it.
func (a *SeqAdjust) Seq(seq uint32) uint32 {
	if int32(seq-a.Init) > 0 {
		return seq + uint32(a.Delta)
	}
	return seq + uint32(a.Previous)
}

// Ack returns the original number for one that the receiver acknowledges, or
// reports in a SACK block. The comparison is with the place where the receiver
// has Init. (One with Init moved by Delta, as older helpers had it, would
// acknowledge bytes of a lost segment that has become shorter.)
func (a *SeqAdjust) Ack(ack uint32) uint32 {
	if int32(ack-uint32(a.Previous)-a.Init) > 0 {
		return ack - uint32(a.Delta)
	}
	return ack - uint32(a.Previous)
}
