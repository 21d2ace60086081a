package doctor

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"natlb/ipvs"
)

// The files are those of the calling thread's network namespace: /proc/net
// would be that of the process.
const (
	kernelIPVS   = "/proc/thread-self/net/ip_vs"
	legacyNames  = "/proc/thread-self/net/ip_tables_names"
	legacyNames6 = "/proc/thread-self/net/ip6_tables_names"
)

// readKernelIPVS says whether the kernel has IPVS, and which services.
func readKernelIPVS() (has, unreadable bool, services []KernelService) {
	b, err := os.ReadFile(kernelIPVS)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	return true, err != nil, parseKernelIPVS(string(b))
}

// parseKernelIPVS reads the services of /proc/net/ip_vs:
//
//	TCP  C0A800B2:0050 rr
//	  -> C0A83865:1F98      Masq    1      0          0
//	TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 rr
func parseKernelIPVS(text string) (services []KernelService) {
	protocols := map[string]ipvs.Protocol{"TCP": ipvs.TCP, "UDP": ipvs.UDP, "SCTP": ipvs.SCTP}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || protocols[f[0]] == 0 {
			continue
		}
		at := strings.LastIndexByte(f[1], ':')
		if at < 0 {
			continue
		}
		ip, ok := kernelAddr(f[1][:at])
		number, err := strconv.ParseUint(f[1][at+1:], 16, 16)
		if err == nil && ok {
			services = append(services, KernelService{protocols[f[0]], netip.AddrPortFrom(ip, uint16(number))})
		}
	}
	return services
}

// kernelAddr reads an address: of IPv4 eight digits, of IPv6 in brackets.
func kernelAddr(text string) (netip.Addr, bool) {
	if six, ok := strings.CutPrefix(text, "["); ok {
		ip, err := netip.ParseAddr(strings.TrimSuffix(six, "]"))
		return ip, err == nil && ip.Is6()
	}
	ip, err := hex.DecodeString(text)
	if err != nil || len(ip) != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(ip)), true
}

// readMemory reads /proc/meminfo; the zero Memory when it cannot.
func readMemory() (m Memory) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, err := strconv.ParseUint(f[1], 10, 64)
		switch {
		case err != nil:
		case f[0] == "MemTotal:":
			m.Total = kib << 10
		case f[0] == "MemAvailable:":
			m.Available = kib << 10
		}
	}
	return m
}
