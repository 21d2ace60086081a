//go:build race

package e2e

// raceDetector says that natlb is to be built with the race detector, as the
// tests are.
const raceDetector = true
