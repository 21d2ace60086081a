package control

import (
	"os"
	"strings"
)

// DefaultSocket is where a director listens when nothing else is said.
const DefaultSocket = "/run/natlb.sock"

// SocketPath returns the socket to use, for the director and its clients alike:
// the value of --socket if there is one, else $NATLB_SOCKET, else
// [DefaultSocket].
func SocketPath(flag string) string {
	if flag != "" {
		return flag
	}
	if env := os.Getenv("NATLB_SOCKET"); env != "" {
		return env
	}
	return DefaultSocket
}

// TakeSocket takes natlb's own --socket PATH off the front of a command line
// that another grammar reads. socket is empty when there is none.
func TakeSocket(args []string) (socket string, rest []string) {
	if len(args) > 0 {
		if v, ok := strings.CutPrefix(args[0], "--socket="); ok {
			return v, args[1:]
		}
	}
	if len(args) > 1 && args[0] == "--socket" {
		return args[1], args[2:]
	}
	return "", args
}
