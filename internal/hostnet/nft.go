package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"syscall"

	"github.com/google/nftables"
	mdlnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"natlb/ipvs"
)

// probeName is the table of [GuardAvailable]. It never outlives the
// transaction that makes it.
const probeName = "natlb-probe"

// sendBuffer holds the transaction of some ten thousand services, bytes. A
// transaction is one message to the kernel and must fit.
const sendBuffer = 4 << 20

// dialNftables returns a connection in the calling thread's namespace.
func dialNftables() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *mdlnetlink.Conn) error {
		// Without privilege in the first user namespace the system's limit
		// stays, which carries a thousand services or more.
		_ = c.SetWriteBuffer(sendBuffer)
		return nil
	}))
}

// clearTable removes the table called name in conn's next transaction, whether
// it exists or not.
func clearTable(conn *nftables.Conn, name string) {
	t := &nftables.Table{Name: name, Family: nftables.TableFamilyNetdev}
	conn.AddTable(t)
	conn.DelTable(t)
}

// GuardAvailable returns nil when a [Guard] can work in the calling thread's
// namespace, else why not. It makes the rules of every kind on the loopback
// interface and removes them in the same transaction: no packet meets them.
func GuardAvailable() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	both := []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: 1})}
	rules := GuardRules{OwnedVIPs: both, Servers: both, Locals: both}
	for _, ip := range both {
		rules.Services = append(rules.Services,
			GuardService{Proto: ipvs.TCP, VIP: netip.AddrPortFrom(ip, 80)},
			GuardService{Proto: ipvs.UDP, VIP: netip.AddrPortFrom(ip, 0)})
	}
	rs, err := newRuleset(rules)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	rs.links = []guardLink{{name: "lo", index: 1, vip: true, dip: true}}
	conn, err := dialNftables()
	if err != nil {
		return explain(err)
	}
	if err := rs.queue(conn, probeName); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	conn.DelTable(&nftables.Table{Name: probeName, Family: nftables.TableFamilyNetdev})
	if err := conn.Flush(); err != nil {
		return explain(err)
	}
	return nil
}

// Leftover reports whether the table of a guard exists in the calling thread's
// namespace: before the first [Guard.Apply], that of a run which crashed. A
// kernel without nftables has none.
func Leftover() (bool, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	conn, err := dialNftables()
	if err != nil {
		return false, explain(err)
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyNetdev)
	if unsupported(err) {
		return false, nil
	}
	if err != nil {
		return false, explain(err)
	}
	for _, t := range tables {
		if t.Name == GuardTable {
			return true, nil
		}
	}
	return false, nil
}

// unsupported reports whether the kernel has no nftables at all.
func unsupported(err error) bool {
	return errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) ||
		errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EAFNOSUPPORT)
}

// explain says in words why the kernel refused a transaction.
func explain(err error) error {
	var errno syscall.Errno
	switch {
	case !errors.As(err, &errno):
		return fmt.Errorf("guard: nftables: %w", err)
	case errno == unix.EPERM:
		return fmt.Errorf("guard: nftables needs CAP_NET_ADMIN in this network namespace: %w", err)
	case errno == unix.EMSGSIZE:
		return fmt.Errorf("guard: too many services for one transaction (net.core.wmem_max): %w", err)
	case errno == unix.ENOENT:
		return fmt.Errorf("guard: this kernel has no nftables netdev chains, or an interface vanished: %w", err)
	case errno == unix.EPROTONOSUPPORT || errno == unix.EOPNOTSUPP || errno == unix.EAFNOSUPPORT:
		return fmt.Errorf("guard: this kernel has no nftables netdev ingress: %w", err)
	}
	return fmt.Errorf("guard: nftables: %w", err)
}
