package ipvs

// Why says why a connection went to the server that it went to.
type Why uint8

// The whys.
const (
	NotPicked       Why = iota // nothing was picked: it was there already
	PickedNew                  // the scheduler's pick
	PickedReuse                // the same, in the place of an old connection of the same ports
	PickedTemplate             // its client's persistence template said so
	PickedData                 // it was announced by another connection (FTP)
	PickedOnePacket            // the scheduler's pick, for one datagram
)

var whyWords = [...]string{
	NotPicked: "", PickedNew: "new", PickedReuse: "reuse", PickedTemplate: "template", PickedData: "data", PickedOnePacket: "one-packet",
}

// String returns the word for it, "" for NotPicked.
func (w Why) String() string {
	if int(w) < len(whyWords) {
		return whyWords[w]
	}
	return "unknown"
}
