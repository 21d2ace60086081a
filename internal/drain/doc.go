// Package drain takes real servers out of use without cutting a connection: their
// weight becomes 0, and it is waited until the last of their active connections
// is gone.
//
//	natlb drain ─► Run ─► Apply: weight 0 ─► Services, again and again ─► Outcome
//	                                              └─► Progress ─► the operator
//
// It speaks to a director from outside, as an operator would: what others do to
// the servers meanwhile is seen and reported, not undone.
package drain
