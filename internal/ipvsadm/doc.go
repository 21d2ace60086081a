// Package ipvsadm is the command line of ipvsadm 1.31 on top of a control
// client: its grammar, messages, exit statuses and listings, byte for byte
// where scripts may look.
//
//	argv, a line of -R, a line of a rules file
//	  └► scan (words to options) ─► parse (options to a line) ─► check (tables of what goes with what)
//	       └► commands: []ipvs.Change to the director, or a listing from its snapshot
//
// What goes with what is data: options.go lists the options, commands.go the
// commands and what each needs and takes. Where natlb knowingly differs from
// ipvsadm 1.31 the comment says "Deviation".
package ipvsadm
