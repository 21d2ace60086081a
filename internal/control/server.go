package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"natlb/ipvs"
)

const (
	// MaxRequest bounds a request's body, in bytes.
	MaxRequest = 16 << 20

	// ReadTimeout is how long a client may take to send a request, and
	// WriteTimeout how long it may refuse to take the next piece of a reply.
	ReadTimeout  = 10 * time.Second
	WriteTimeout = 10 * time.Second

	idleTimeout = 60 * time.Second
)

// Server answers on the control socket for one director.
type Server struct {
	director Director
	natlb    string
	log      *slog.Logger
	started  time.Time
	http     http.Server

	feed *feed

	apply       sync.Mutex    // the one writer
	generation  uint64        // of the configuration; under apply, never 0
	socketGroup atomic.Uint32 // whose members may change things
}

// NewServer returns a server for d. natlb is the version that replies carry.
func NewServer(d Director, natlb string, log *slog.Logger) *Server {
	s := &Server{director: d, natlb: natlb, log: log, started: time.Now(), generation: firstGeneration()}
	s.feed = newFeed(d.Follow)
	s.socketGroup.Store(uint32(os.Getegid()))
	s.http = http.Server{
		Handler:        s.routes(),
		ReadTimeout:    ReadTimeout,
		WriteTimeout:   WriteTimeout, // streams extend it piece by piece
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: 64 << 10,
		ConnContext:    withPeer,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.http.RegisterOnShutdown(s.feed.close)
	return s
}

// Serve answers requests on l, which should come from [Listen], until Shutdown;
// it returns nil then.
func (s *Server) Serve(l net.Listener) error {
	if info, err := os.Stat(l.Addr().String()); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			s.socketGroup.Store(st.Gid)
		}
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// Shutdown closes the socket, lets running requests end until ctx is done and
// then cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/apply", s.serveApply)
	mux.HandleFunc("GET /v1/connections", s.serveConnections)
	mux.HandleFunc("GET /v1/connections/counts", s.serveCounts)
	mux.HandleFunc("GET /v1/events", s.serveEvents)
	get := func(path string, reply func() any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			s.reply(w, http.StatusOK, reply())
		})
	}
	get("/v1/services", s.services)
	get("/v1/snapshot", s.snapshot)
	get("/v1/timeouts", func() any { return timeoutsReply{s.header(), s.director.Timeouts()} })
	get("/v1/counters", func() any { return countersReply{s.header(), s.director.Counters()} })
	get("/v1/ledger", func() any { return ledgerReply{s.header(), s.director.Ledger()} })
	get("/v1/sysctls", func() any { return sysctlsReply{s.header(), s.director.Sysctls()} })
	get("/v1/sources", func() any { return sourcesReply{s.header(), JSONOfSources(s.director.Sources())} })
	get("/v1/status", s.status)
	get("/v1/setup", func() any { return setupReply{s.header(), s.director.Setup()} })
	mux.HandleFunc("GET /v1/census", s.serveCensus)
	mux.HandleFunc("GET /v1/marks", s.serveMarks)
	mux.HandleFunc("GET /v1/explain", s.serveExplain)
	mux.HandleFunc("GET /v1/state", s.serveState)
	mux.HandleFunc("GET /v1/capture", s.serveCapture)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.reply(w, http.StatusNotFound, failure{header: s.header(), Code: codeBadRequest,
			Message: fmt.Sprintf("%s %s: no such request", r.Method, r.URL.Path)})
	})
	return mux
}

func (s *Server) header() header { return header{ProtocolVersion, s.natlb} }

func (s *Server) services() any {
	return servicesReply{s.header(), JSONOfServices(s.director.Services())}
}

func (s *Server) serveState(w http.ResponseWriter, r *http.Request) {
	state, err := s.State(r.Context())
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.reply(w, http.StatusOK, stateReply{
		s.header(), state.Generation, state.Timeouts, state.Sysctls, state.Marks, append([]string{}, state.Sources...), JSONOfServices(state.Services),
	})
}

func (s *Server) snapshot() any {
	snap := s.director.Snapshot()
	return snapshotReply{
		header: s.header(), Clock: int64(snap.At), Entries: snap.Entries,
		Services: JSONOfServices(snap.Services), Counters: s.director.Counters(),
	}
}

func (s *Server) status() any {
	return statusReply{ProtocolVersion, Status{
		Natlb: s.natlb, PID: os.Getpid(), Uptime: time.Since(s.started).Seconds(), TableSize: s.director.TableSize(),
	}}
}

func (s *Server) serveApply(w http.ResponseWriter, r *http.Request) {
	p, _ := r.Context().Value(peerKey{}).(*peer)
	if err := mayChange(p, s.socketGroup.Load()); err != nil {
		s.refuse(w, err)
		return
	}
	t, err := readTransaction(http.MaxBytesReader(w, r.Body, MaxRequest))
	if err != nil {
		s.refuse(w, err)
		return
	}
	if err := s.transact(t); err != nil {
		s.log.Debug("configuration change refused", "changes", len(t.changes), "uid", p.uid, "pid", p.pid, "err", err)
		s.refuse(w, err)
		return
	}
	if !t.dryRun {
		s.log.Debug("configuration changed", "changes", len(t.changes), "uid", p.uid, "pid", p.pid)
	}
	s.reply(w, http.StatusOK, s.header())
}

// transaction is what a request to apply changes asks for.
type transaction struct {
	changes    []ipvs.Change
	generation uint64 // of the state that the changes are made for; 0: any
	dryRun     bool   // only say whether it would be refused
}

// transact carries a transaction out, or says why not.
func (s *Server) transact(t *transaction) error {
	s.apply.Lock()
	defer s.apply.Unlock()
	if t.generation != 0 && t.generation != s.generation {
		return ErrChanged
	}
	err := checkAll(t.changes)
	if err == nil {
		err = checkBroadcasts(t.changes, localNetworks())
	}
	switch {
	case err != nil:
		return MissingFirst(s.director.Services(), t.changes, err)
	case t.dryRun:
		if faults := s.director.Check(t.changes); len(faults) > 0 {
			return faults[0]
		}
		return nil
	}
	if err = s.director.Apply(t.changes); err == nil {
		s.generation++
	}
	return err
}

// firstGeneration returns a number that no director before this one has used,
// so that nobody takes this one's state for the other's. It is exact in a float64.
func firstGeneration() uint64 { return 1 + rand.Uint64()>>12 }

// localNetworks returns the host's own addresses with their networks. Where the
// host does not tell, no address counts as a broadcast address.
func localNetworks() []net.Addr {
	local, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	return local
}

// requestError is a body that is not a request.
type requestError struct{ error }

func (e requestError) Unwrap() error { return e.error }

func readTransaction(body io.Reader) (*transaction, error) {
	var request applyRequest
	in := json.NewDecoder(body)
	in.DisallowUnknownFields()
	if err := in.Decode(&request); err != nil {
		return nil, requestError{err}
	}
	if _, err := in.Token(); err != io.EOF {
		return nil, requestError{errors.New("something follows the request")}
	}
	if request.Version != ProtocolVersion {
		return nil, fmt.Errorf("%w: request of version %d, director of version %d", ErrProtocol, request.Version, ProtocolVersion)
	}
	changes := make([]ipvs.Change, len(request.Changes))
	for i := range request.Changes {
		c, err := request.Changes[i].change()
		if err != nil {
			return nil, &ipvs.ChangeError{Index: i, Kind: c.Kind, Err: err}
		}
		changes[i] = c
	}
	return &transaction{changes, request.Generation, request.DryRun}, nil
}

// refuse replies with err. A *ipvs.ChangeError sends the place of its change
// and its cause; the client puts the two together again.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	f := failure{header: s.header(), Message: err.Error()}
	var status int
	f.Code, status = codeOf(err)
	var change *ipvs.ChangeError
	var request requestError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		f.Code, status = codeTooLarge, http.StatusRequestEntityTooLarge
	case errors.As(err, &request):
		f.Code, status = codeBadRequest, http.StatusBadRequest
	case errors.As(err, &change):
		f.Index, f.Message = &change.Index, change.Err.Error()
	}
	s.reply(w, status, f)
}

func (s *Server) reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error is a client that went away: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(body)
}

func (s *Server) serveMarks(w http.ResponseWriter, r *http.Request) {
	text, err := s.director.Marks(r.URL.Query()["word"])
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.reply(w, http.StatusOK, marksReply{s.header(), text})
}
