// Package rules makes a rules file the state of a running director.
//
//	file ─► Read ─► wanted state ─┐
//	                              ├─► Compare ─► Diff: lines to show, one transaction
//	director ─► state it has ─────┘
//
// What a file wants is what a fresh director would be after its lines: a scratch
// director of the data path plays them, so that nothing is known here a second
// time. [Apply] compares and changes in one step: a director that has been changed
// by somebody else in between refuses the transaction, and the comparison is made
// again.
package rules
