package hostnet

import (
	"math"

	"github.com/safchain/ethtool"
)

// Speed returns the speed of a link in Mbit/s as its driver tells it, 0 if it does
// not (virtio and bridges mostly do not know theirs).
func Speed(link string) int {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return 0
	}
	defer tool.Close()
	var settings ethtool.EthtoolCmd
	speed, err := tool.CmdGet(&settings, link)
	if err != nil || speed >= math.MaxInt32 { // unknown is all ones
		return 0
	}
	return int(speed)
}
