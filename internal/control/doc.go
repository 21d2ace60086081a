// Package control is the front door of a running director: the one way in for
// changes of its configuration and the one way out for its listings.
//
//	Client ──HTTP+JSON over a Unix socket──► Server ──check──► Director.Apply
//	       ◄──────── one snapshot ───────────       ◄──────── Director.Services, ...
//
// One request is one transaction: every change in it is checked before the
// first one is applied, and the director applies all of them or none. The
// socket is the documented interface, so that curl --unix-socket works; the
// types of wire.go are its contract. Every reply carries the protocol version.
package control
