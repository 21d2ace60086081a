// Package classify gives packets the firewall marks that a director above
// AF_PACKET cannot see: netfilter's live in the kernel's packet, not in the
// copy. It speaks the words that users have for it, the part of iptables'
// mangle table that marks:
//
//	-A PREROUTING -d 192.0.2.1/32 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 1
//
// and the same of IPv6, a chain of its own, with -6 or in the words of ip6tables:
//
//	-6 -A PREROUTING -d 2001:db8::1/128 -p tcp --dport 80 -j MARK --set-mark 1
//
//	words ─► Parse ─► Command ─► Ruleset.Apply ─► Ruleset ─► Compile ─► Program.Mark(packet)
//	                                                 │
//	                                                 └─► Text (-L, -S), Lines (the save file)
//
// A Ruleset never changes: each change makes a new one, so a compiled Program
// may be published to all shards behind an atomic pointer. Rules are walked in
// order as netfilter walks them: MARK goes on to the next rule, ACCEPT and RETURN
// end the walk.
//
// What -S prints is what iptables -S prints for the same rule, and is read back
// as the same rule. Knowingly different from iptables 1.8.9, the comments
// there say "Deviation": no packet counters, no host names, rules without a
// target are refused, a negated full port range keeps its meaning when printed.
package classify
