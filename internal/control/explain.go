package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"natlb/ipvs"
)

// explainReply answers GET /v1/explain.
type explainReply struct {
	header
	Explanation *ipvs.Explanation `json:"explanation"`
}

// Explain asks what the director would do with one packet. It changes nothing
// there.
func (c *Client) Explain(ctx context.Context, q ipvs.Question) (*ipvs.Explanation, error) {
	var reply explainReply
	if err := c.get(ctx, "/v1/explain?"+valuesOf(&q).Encode(), &reply); err != nil {
		return nil, err
	}
	if reply.Explanation == nil {
		return nil, fmt.Errorf("%w: a reply without an explanation", ErrProtocol)
	}
	return reply.Explanation, nil
}

func (s *Server) serveExplain(w http.ResponseWriter, r *http.Request) {
	q, err := questionOf(r.URL.Query())
	if err != nil {
		s.refuse(w, err)
		return
	}
	x, err := s.director.Explain(q)
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.reply(w, http.StatusOK, explainReply{s.header(), x})
}

// valuesOf returns a question as the query of its request: what is not asked is
// left out.
func valuesOf(q *ipvs.Question) url.Values {
	v := url.Values{"protocol": {protocolWord(q.Proto)}, "client": {q.Client.String()}}
	if q.Server.IsValid() {
		v.Set("server", q.Server.String())
	} else {
		v.Set("virtual", q.Virtual.String())
	}
	if q.Flags != 0 {
		v.Set("tcp_flags", q.Flags.String())
	}
	if q.Chunk != nil {
		v.Set("sctp_chunk", q.Chunk.String())
	}
	if q.Mark != nil {
		v.Set("mark", strconv.FormatUint(uint64(*q.Mark), 10))
	}
	if q.Link != "" {
		v.Set("via", q.Link)
	}
	return v
}

// questionOf is the inverse of valuesOf; a client may be an address without a
// port. An unknown name is a fault, so that a slip of the pen is not another
// question.
func questionOf(v url.Values) (q ipvs.Question, err error) {
	readers := map[string]func(string) error{
		"protocol":  func(s string) (err error) { q.Proto, err = protocolOf(s); return err },
		"client":    func(s string) (err error) { q.Client, err = endpoint(s); return err },
		"virtual":   func(s string) (err error) { q.Virtual, err = netip.ParseAddrPort(s); return err },
		"server":    func(s string) (err error) { q.Server, err = netip.ParseAddrPort(s); return err },
		"tcp_flags": func(s string) (err error) { q.Flags, err = ipvs.ParseTCPFlags(s); return err },
		"sctp_chunk": func(s string) error {
			chunk, err := ipvs.ParseChunk(s)
			q.Chunk = &chunk
			return err
		},
		"via": func(s string) error { q.Link = s; return nil },
		"mark": func(s string) error {
			mark, err := strconv.ParseUint(s, 0, 32)
			q.Mark = new(uint32)
			*q.Mark = uint32(mark)
			return err
		},
	}
	for name, values := range v {
		read := readers[name]
		if read == nil || len(values) != 1 {
			return q, requestError{fmt.Errorf("explain takes protocol, client, virtual or server, tcp_flags, sctp_chunk, mark and via, each once; not %q", name)}
		}
		if err := read(values[0]); err != nil {
			return q, requestError{fmt.Errorf("%s %q: %w", name, values[0], err)}
		}
	}
	if q.Virtual.IsValid() && q.Server.IsValid() {
		return q, requestError{errors.New("a packet goes to a virtual address or comes from a server, not both")}
	}
	return q, nil
}

// endpoint reads ADDRESS:PORT, or ADDRESS for port 0.
func endpoint(text string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, 0), nil
	}
	return netip.ParseAddrPort(text)
}
