package main

import (
	"os"
	"os/signal"
	"syscall"
)

// outlive keeps a director alive through the signals that would end it though
// nobody asked for its end: SIGHUP (a terminal that closes, an operator who wants
// the rules file applied again), which comes by hangups; and SIGPIPE (the reader of
// its log is gone), which costs log lines. Both are caught until forget is called.
func outlive() (hangups <-chan os.Signal, forget func()) {
	hups, pipes := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	signal.Notify(pipes, syscall.SIGPIPE) // nobody reads it: caught is enough
	return hups, func() {
		signal.Stop(hups)
		signal.Stop(pipes)
	}
}
