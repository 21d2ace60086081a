package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// HTTPServer answers every request with one fixed text.
type HTTPServer struct {
	server *http.Server
	served atomic.Uint64
	done   chan error
}

// ServeHTTP starts a server inside the namespace that listens on address
// (IP:port, or :port for both families) and answers text.
func ServeHTTP(n *Namespace, address, text string) (*HTTPServer, error) {
	l, err := n.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", n.name, err)
	}
	s := &HTTPServer{done: make(chan error, 1)}
	s.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			s.served.Add(1)
			// A client that has gone away is the client's business.
			_, _ = io.WriteString(w, text)
		}),
	}
	go func() { s.done <- s.server.Serve(l) }()
	return s, nil
}

// Served is the number of requests that arrived so far.
func (s *HTTPServer) Served() uint64 { return s.served.Load() }

// Close stops listening and closes the connections.
func (s *HTTPServer) Close() error {
	err := s.server.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// EchoServer sends datagrams back.
type EchoServer struct {
	conn net.PacketConn
	done chan error
}

// ServeEcho starts a UDP server inside the namespace that sends every datagram
// back with prefix before it, so that a client sees who answered. A prefix of
// "" makes it the Echo Protocol of RFC 862.
func ServeEcho(n *Namespace, address, prefix string) (*EchoServer, error) {
	conn, err := n.ListenPacket("udp", address)
	if err != nil {
		return nil, fmt.Errorf("lab: %s: %w", n.name, err)
	}
	s := &EchoServer{conn: conn, done: make(chan error, 1)}
	go func() { s.done <- s.echo(prefix) }()
	return s, nil
}

func (s *EchoServer) echo(prefix string) error {
	const maxDatagram = 65507
	buf := make([]byte, len(prefix)+maxDatagram)
	head := copy(buf, prefix)
	for {
		size, from, err := s.conn.ReadFrom(buf[head:])
		if err != nil {
			return err
		}
		// An answer that cannot be sent is lost, as any datagram may be.
		_, _ = s.conn.WriteTo(buf[:head+size], from)
	}
}

// Close stops the server.
func (s *EchoServer) Close() error {
	err := s.conn.Close()
	if echoed := <-s.done; !errors.Is(echoed, net.ErrClosed) {
		err = errors.Join(err, echoed)
	}
	return err
}
