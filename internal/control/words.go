package control

import (
	"fmt"
	"strconv"

	"natlb/ipvs"
)

// vocabulary is a two-way table between values and their words on the wire.
type vocabulary[T comparable] struct {
	of    string // what it lists, for messages
	words map[T]string
}

func (v vocabulary[T]) word(x T) string { return v.words[x] }

func (v vocabulary[T]) value(word string) (T, error) {
	for x, w := range v.words {
		if w == word {
			return x, nil
		}
	}
	var none T
	return none, fmt.Errorf("%s %q: %w", v.of, word, ipvs.ErrInvalid)
}

var kinds = vocabulary[ipvs.ChangeKind]{"op", kindWords()}

func kindWords() map[ipvs.ChangeKind]string {
	words := make(map[ipvs.ChangeKind]string)
	for k := ipvs.AddService; k <= ipvs.ChangeSources; k++ {
		words[k] = k.String()
	}
	return words
}

var eventKinds = vocabulary[ipvs.EventKind]{"kind", wordsOf(ipvs.EventKinds())}

var reasons = vocabulary[ipvs.Reason]{"reason", wordsOf(ipvs.Reasons())}

func wordsOf[T interface {
	comparable
	String() string
}](values []T) map[T]string {
	words := make(map[T]string, len(values))
	for _, v := range values {
		words[v] = v.String()
	}
	return words
}

var methods = vocabulary[ipvs.ForwardMethod]{"method", map[ipvs.ForwardMethod]string{
	ipvs.Masq: "masq", ipvs.Route: "route", ipvs.Tunnel: "tunnel", ipvs.Local: "local", ipvs.Bypass: "bypass",
	ipvs.FullNAT: "fullnat",
}}

var tunnelTypes = vocabulary[ipvs.TunnelType]{"tunnel_type", map[ipvs.TunnelType]string{
	ipvs.TunnelIPIP: "ipip", ipvs.TunnelGUE: "gue", ipvs.TunnelGRE: "gre",
}}

var tunnelChecksums = vocabulary[ipvs.TunnelChecksum]{"tunnel_checksum", map[ipvs.TunnelChecksum]string{
	ipvs.TunnelNoChecksum: "none", ipvs.TunnelChecksummed: "csum", ipvs.TunnelRemoteChecksum: "remcsum",
}}

var protocols = vocabulary[ipvs.Protocol]{"protocol", map[ipvs.Protocol]string{
	ipvs.AnyProtocol: "any", ipvs.TCP: "tcp", ipvs.UDP: "udp", ipvs.SCTP: "sctp",
}}

func protocolWord(p ipvs.Protocol) string {
	if w := protocols.word(p); w != "" {
		return w
	}
	return strconv.Itoa(int(p))
}

func protocolOf(word string) (ipvs.Protocol, error) {
	if n, err := strconv.ParseUint(word, 10, 8); err == nil {
		return ipvs.Protocol(n), nil
	}
	return protocols.value(word)
}

// flagNames are the service flags in the order in which they are written.
var flagNames = []struct {
	flag ipvs.ServiceFlags
	word string
}{
	{ipvs.FlagPersistent, "persistent"},
	{ipvs.FlagOnePacket, "one-packet"},
	{ipvs.FlagSched1, "flag-1"},
	{ipvs.FlagSched2, "flag-2"},
	{ipvs.FlagSched3, "flag-3"},
}

func flagWords(f ipvs.ServiceFlags) []string {
	var words []string
	for _, n := range flagNames {
		if f&n.flag != 0 {
			words = append(words, n.word)
		}
	}
	return words
}

func flagsOf(words []string) (f ipvs.ServiceFlags, err error) {
next:
	for _, w := range words {
		for _, n := range flagNames {
			if n.word == w {
				f |= n.flag
				continue next
			}
		}
		return 0, fmt.Errorf("flag %q: %w", w, ipvs.ErrInvalid)
	}
	return f, nil
}
