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
	kernelIPVS  = "/proc/thread-self/net/ip_vs"
	legacyNames = "/proc/thread-self/net/ip_tables_names"
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
func parseKernelIPVS(text string) (services []KernelService) {
	protocols := map[string]ipvs.Protocol{"TCP": ipvs.TCP, "UDP": ipvs.UDP, "SCTP": ipvs.SCTP}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || protocols[f[0]] == 0 {
			continue
		}
		addr, port, _ := strings.Cut(f[1], ":")
		ip, err := hex.DecodeString(addr)
		number, portErr := strconv.ParseUint(port, 16, 16)
		if err != nil || portErr != nil || len(ip) != 4 {
			continue
		}
		services = append(services, KernelService{
			protocols[f[0]], netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip)), uint16(number)),
		})
	}
	return services
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
