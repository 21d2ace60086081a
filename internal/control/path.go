package control

import "os"

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
