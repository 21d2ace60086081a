package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"natlb/ipvs"
)

// clientTimeout bounds every request of a client, and in a stream every piece.
const clientTimeout = 10 * time.Second

// Client talks to a director. Any goroutine may call its methods. All of them
// return an error that wraps [ipvs.ErrDirectorNotRunning] when nobody listens,
// [ipvs.ErrPermission] when the socket may not be opened, and [ErrProtocol]
// when the director speaks another version; none waits for a director that does
// not answer for longer than ten seconds.
type Client struct {
	path    string
	http    http.Client
	timeout time.Duration
}

// Dial returns a client for the director at the socket path. It does not
// connect yet.
func Dial(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{Transport: &http.Transport{DialContext: dial}}, timeout: clientTimeout}
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Apply makes changes as one transaction. A refusal is an *ipvs.ChangeError
// that wraps the director's sentinel.
func (c *Client) Apply(ctx context.Context, changes []ipvs.Change) error {
	return c.post(ctx, applyRequest{}, changes)
}

func (c *Client) post(ctx context.Context, request applyRequest, changes []ipvs.Change) error {
	request.Version, request.Changes = ProtocolVersion, make([]ChangeJSON, len(changes))
	for i := range changes {
		request.Changes[i] = JSONOfChange(&changes[i])
	}
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	return c.exchange(ctx, http.MethodPost, "/v1/apply", body, changes, new(header))
}

// Services returns one consistent snapshot of all services in the director's
// order, destinations newest first.
func (c *Client) Services(ctx context.Context) ([]ipvs.ServiceStatus, error) {
	var reply servicesReply
	if err := c.get(ctx, "/v1/services", &reply); err != nil {
		return nil, err
	}
	return statusOf(reply.Services)
}

// Snapshot returns the same with the director's clock, the size of the table of
// connections, and the counters.
func (c *Client) Snapshot(ctx context.Context) (ipvs.Snapshot, []Counter, error) {
	var reply snapshotReply
	if err := c.get(ctx, "/v1/snapshot", &reply); err != nil {
		return ipvs.Snapshot{}, nil, err
	}
	services, err := statusOf(reply.Services)
	return ipvs.Snapshot{At: time.Duration(reply.Clock), Entries: reply.Entries, Services: services}, reply.Counters, err
}

// Counts counts the connections and templates that the filter chooses, by one of
// [CountedBy].
func (c *Client) Counts(ctx context.Context, filter Filter, by string) (Counts, error) {
	q := filter.query()
	q.Set("by", by)
	var reply countsReply
	err := c.get(ctx, "/v1/connections/counts?"+q.Encode(), &reply)
	return reply.Counts, err
}

// Timeouts returns the three settable timeouts.
func (c *Client) Timeouts(ctx context.Context) (ipvs.Timeouts, error) {
	var reply timeoutsReply
	err := c.get(ctx, "/v1/timeouts", &reply)
	return reply.Timeouts, err
}

// Counters returns the verdict counters.
func (c *Client) Counters(ctx context.Context) ([]Counter, error) {
	var reply countersReply
	err := c.get(ctx, "/v1/counters", &reply)
	return reply.Counters, err
}

// Sysctls returns the director's settings.
func (c *Client) Sysctls(ctx context.Context) ([]Sysctl, error) {
	var reply sysctlsReply
	err := c.get(ctx, "/v1/sysctls", &reply)
	return reply.Sysctls, err
}

// Marks answers a command line of natlb mark that only asks.
func (c *Client) Marks(ctx context.Context, words []string) (string, error) {
	var reply marksReply
	err := c.get(ctx, "/v1/marks?"+url.Values{"word": words}.Encode(), &reply)
	return reply.Text, err
}

// Sources returns the addresses that FullNAT speaks from, with those that were deleted
// and still have connections.
func (c *Client) Sources(ctx context.Context) ([]ipvs.SourceStatus, error) {
	var reply sourcesReply
	if err := c.get(ctx, "/v1/sources", &reply); err != nil {
		return nil, err
	}
	list := make([]ipvs.SourceStatus, len(reply.Sources))
	for i, s := range reply.Sources {
		list[i] = ipvs.SourceStatus{Addr: s.Address, Conns: s.Connections, Deleted: s.Deleted, Local: s.Local}
	}
	return list, nil
}

// Status says who answers on the socket.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var reply statusReply
	err := c.get(ctx, "/v1/status", &reply)
	return reply.Status, err
}

// Setup says how the director was started and what it stands on.
func (c *Client) Setup(ctx context.Context) (Setup, error) {
	var reply setupReply
	err := c.get(ctx, "/v1/setup", &reply)
	return reply.Setup, err
}

// Census counts the connections of every real server that has any, sorted by
// server. Those of clients in one of the networks near, at most [MaxNear], are
// counted apart too.
func (c *Client) Census(ctx context.Context, near []netip.Prefix) ([]Census, error) {
	query := url.Values{}
	for _, p := range near {
		query.Add("near", p.String())
	}
	var reply censusReply
	if err := c.get(ctx, "/v1/census?"+query.Encode(), &reply); err != nil {
		return nil, err
	}
	all := make([]Census, len(reply.Servers))
	for i := range reply.Servers {
		w := &reply.Servers[i]
		proto, err := protocolOf(w.Protocol)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		all[i] = Census{proto, w.Server, w.Conns, w.HalfOpen, w.Near, w.NearHalfOpen, w.NearClient}
	}
	return all, nil
}

// TableSize returns the number that a listing's first line shows as "size=".
func (c *Client) TableSize(ctx context.Context) (int, error) {
	status, err := c.Status(ctx)
	return status.TableSize, err
}

// Connections calls yield for every connection entry and template in table
// order, until yield returns false. yield may take its time: what it has not
// taken yet is kept here, not in the director.
func (c *Client) Connections(ctx context.Context, yield func(ipvs.ConnStatus) bool) error {
	return c.Chosen(ctx, Filter{}, yield)
}

// Chosen is Connections for those that the filter chooses.
func (c *Client) Chosen(ctx context.Context, filter Filter, yield func(ipvs.ConnStatus) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(c.timeout, func() { cancel(ErrSilent) })
	defer watchdog.Stop()
	body, err := c.open(ctx, http.MethodGet, "/v1/connections?"+filter.query().Encode(), nil, nil)
	if err != nil {
		return slow(ctx, err)
	}
	defer body.Close()
	in := json.NewDecoder(newSpool(body, func() { watchdog.Reset(c.timeout) }))
	var head header
	if err := in.Decode(&head); err != nil {
		return slow(ctx, fmt.Errorf("%w: %w", ErrProtocol, err))
	}
	if err := head.check(); err != nil {
		return err
	}
	return slow(ctx, eachConn(in, yield))
}

// eachConn reads the lines of a stream up to its end line.
func eachConn(in *json.Decoder, yield func(ipvs.ConnStatus) bool) error {
	for {
		var line streamLine
		if err := in.Decode(&line); err != nil {
			return fmt.Errorf("the listing was cut short: %w", err)
		}
		if line.End {
			return nil
		}
		conn, err := line.conn()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		if !yield(conn) {
			return nil
		}
	}
}

func (c *Client) get(ctx context.Context, path string, reply any) error {
	return c.exchange(ctx, http.MethodGet, path, nil, nil, reply)
}

func (c *Client) exchange(ctx context.Context, method, path string, body []byte, changes []ipvs.Change, reply any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, ErrSilent)
	defer cancel()
	in, err := c.open(ctx, method, path, body, changes)
	if err != nil {
		return slow(ctx, err)
	}
	defer in.Close()
	text, err := io.ReadAll(in)
	if err != nil {
		return slow(ctx, err)
	}
	var head header
	if err := json.Unmarshal(text, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if err := head.check(); err != nil {
		return err
	}
	if err := json.Unmarshal(text, reply); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return nil
}

// open sends a request and returns the body of a good reply; an error reply
// comes back as the error it stands for.
func (c *Client) open(ctx context.Context, method, path string, body []byte, changes []ipvs.Change) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://natlb"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	var f failure
	if err := json.NewDecoder(io.LimitReader(response.Body, MaxRequest)).Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: %s from %s, which is no natlb director", ErrProtocol, response.Status, c.path)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return nil, errorOf(&f, changes)
}

func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w (looked for %s)", ipvs.ErrDirectorNotRunning, c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %s", ipvs.ErrPermission, c.path)
	}
	return fmt.Errorf("control socket %s: %w", c.path, err)
}

func (h header) check() error {
	if h.Version != ProtocolVersion {
		return fmt.Errorf("%w: the director (natlb %s) speaks version %d, this natlb version %d",
			ErrProtocol, h.Natlb, h.Version, ProtocolVersion)
	}
	return nil
}
