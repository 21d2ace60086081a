//go:build race

package dataplane_test

const raceDetector = true
