// Package bench holds the benchmarks that look at natlb across its packages,
// and in results/ what they gave, with machine and command.
//
//	go test -run '^$' -bench . -count 10 ./bench | tee new.txt
//	benchstat old.txt new.txt
//
// Names are in key=value form, so that benchstat can turn each key into a
// column, for instance with -col /servers.
package bench
