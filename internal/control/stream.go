package control

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"

	"natlb/ipvs"
)

// patientWriter gives the client its patience for each piece instead of for the
// whole reply: a long listing may take its time, a stalled reader may not.
type patientWriter struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	patience   time.Duration
}

func (p patientWriter) Write(b []byte) (int, error) {
	if err := p.controller.SetWriteDeadline(time.Now().Add(p.patience)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

// serveConnections streams one JSON object per line: the header, the
// connections that the filter chooses, and an end line with their number. Nothing but one buffer is
// held, however long the table.
func (s *Server) serveConnections(w http.ResponseWriter, r *http.Request) {
	filter, err := filterOf(r.URL.Query())
	if err != nil {
		s.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	buffer := bufio.NewWriterSize(patientWriter{w, http.NewResponseController(w), s.http.WriteTimeout}, 64<<10)
	out := json.NewEncoder(buffer)
	if out.Encode(s.header()) != nil {
		return
	}
	count, gone := 0, false
	s.director.Connections(func(c ipvs.ConnStatus) bool {
		if !filter.conn(&c) {
			return true
		}
		gone = out.Encode(JSONOfConn(&c)) != nil
		count++
		return !gone && count != filter.Limit
	})
	if gone || out.Encode(streamEnd{End: true, Count: count}) != nil {
		return
	}
	_ = buffer.Flush()
}
