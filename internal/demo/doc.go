// Package demo is `natlb demo`: the demonstration of the LVS course, played by
// real kernels in a lab inside this process (see package lab).
//
//	client ──── director (natlb run) ──┬── server-1, listens on 8088, answers "server-1 is 8888"
//	192.168.0.11   VIP 192.168.0.178   └── server-2, listens on 80, answers "server-2 is 80"
//
// It starts a director, types what the course types, and prints a transcript.
// Then comes a live view with traffic, a shell, or the end. Every claim of the
// transcript is checked against what the clients received, never against what
// natlb says of itself.
package demo
