// Package bench holds the benchmarks that look at natlb across its packages,
// and in results/ what they gave, with machine and command.
//
//	make bench-check      // all of them against baseline.txt, by benchstat; check does it
//	make compare          // natlb beside its peers; compare does it
//
// limit/ is a C program that only moves the frames: what packet sockets allow.
//
// Names are in key=value form, so that benchstat can turn each key into a
// column, for instance with -col /servers.
package bench
