package ipvs

import (
	"fmt"
	"strconv"
	"strings"
)

// Chunk is the type of an SCTP chunk (RFC 9260 section 3.2).
type Chunk uint8

// Chunks that begin an association.
const (
	ChunkInit    Chunk = 1
	ChunkInitAck Chunk = 2
)

var chunkNames = [...]string{
	"DATA", "INIT", "INIT-ACK", "SACK", "HEARTBEAT", "HEARTBEAT-ACK", "ABORT", "SHUTDOWN", "SHUTDOWN-ACK", "ERROR",
	"COOKIE-ECHO", "COOKIE-ACK", "ECNE", "CWR", "SHUTDOWN-COMPLETE",
}

// String returns the chunk's name, or its number.
func (c Chunk) String() string {
	if int(c) < len(chunkNames) {
		return chunkNames[c]
	}
	return strconv.Itoa(int(c))
}

// ParseChunk reads what [Chunk.String] writes; case does not matter, and an
// underscore does for a hyphen. The error wraps ErrInvalid.
func ParseChunk(text string) (Chunk, error) {
	word := strings.ToUpper(strings.ReplaceAll(text, "_", "-"))
	for i, name := range chunkNames {
		if word == name {
			return Chunk(i), nil
		}
	}
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		return Chunk(n), nil
	}
	return 0, fmt.Errorf("%w: SCTP chunk %q (known: %s)", ErrInvalid, text, strings.Join(chunkNames[:], " "))
}
