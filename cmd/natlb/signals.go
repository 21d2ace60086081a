package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// outlive keeps a director alive through the signals that would end it though
// nobody asked for its end: SIGHUP (a terminal that closes, an operator who
// expects a reload) is logged and changes nothing; SIGPIPE (the reader of its log
// is gone) costs log lines. Both are caught until forget is called.
func outlive(log *slog.Logger) (forget func()) {
	hangups, pipes := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	signal.Notify(pipes, syscall.SIGPIPE) // nobody reads it: caught is enough
	go func() {
		for range hangups {
			log.Warn("SIGHUP changes nothing: natlb -R applies rules to a running director, SIGTERM ends it")
		}
	}()
	return func() {
		signal.Stop(hangups)
		signal.Stop(pipes)
		close(hangups)
	}
}
