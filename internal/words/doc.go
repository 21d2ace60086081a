// Package words is natlb's own command line, next to ipvsadm's: a word without
// a dash (natlb save, natlb mark, natlb sysctl), one file for each.
//
// Every word is a reader or writer of the control socket and nothing else; the
// words that need other rooms (run, demo) are added by cmd/natlb. Faults come
// with a hint where there is one.
package words
