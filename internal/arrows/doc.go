// Package arrows holds one test: that the rooms of natlb import each other only
// in the directions that docs/design.md draws.
package arrows
