// Package terminal is what natlb's words need of the terminal they run on: is it
// one, how large is it, a screen that is redrawn in place and gives the old one
// back, and single keys. Where there is no terminal the words print plain lines
// and nothing of this room is used but [Is].
package terminal
