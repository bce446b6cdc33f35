package podlink

import (
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Limits are a pod's bandwidth, in bits a second; 0: as much as there is. A burst, in bits, is what may go at once after a rest.
type Limits struct {
	IngressRate  uint64 `json:"ingressRate"`
	IngressBurst uint64 `json:"ingressBurst"`
	EgressRate   uint64 `json:"egressRate"`
	EgressBurst  uint64 `json:"egressBurst"`
}

const (
	leastRate  = 8 // a byte a second; TBF knows no less
	leastBurst = 64 << 10
	patience   = 25 * time.Millisecond // how long a packet may wait before it is dropped
)

// Limit puts limits on an owner's cable: what goes to the pod waits at our end, what it sends in a link of its own (ifb), since nothing waits
// where packets come in. Without limits nothing is done.
func Limit(o Owner, l Limits) error {
	if l.IngressRate == 0 && l.EgressRate == 0 {
		return nil
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	end, err := h.LinkByName(o.Link())
	if err != nil {
		return err
	}
	if l.IngressRate > 0 {
		if err := bucket(h, end, l.IngressRate, l.IngressBurst); err != nil {
			return fmt.Errorf("limit what goes to the pod: %w", err)
		}
	}
	if l.EgressRate == 0 {
		return nil
	}
	if err := remove(h, o.limiter()); err != nil { // of an ADD that was killed
		return err
	}
	ifb := &netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: o.limiter(), MTU: end.Attrs().MTU, Flags: net.FlagUp}}
	if err := h.LinkAdd(ifb); err != nil {
		return fmt.Errorf("make %s to limit what the pod sends (kernel module ifb): %w", ifb.Name, err)
	}
	if err := bucket(h, ifb, l.EgressRate, l.EgressBurst); err != nil {
		return fmt.Errorf("limit what the pod sends: %w", err)
	}
	return detour(h, end, ifb)
}

// detour sends what comes in at a link through another.
func detour(h *netlink.Handle, from, through netlink.Link) error {
	hook := netlink.QdiscAttrs{LinkIndex: from.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS}
	if err := h.QdiscAdd(&netlink.Ingress{QdiscAttrs: hook}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("ingress hook of %s: %w", from.Attrs().Name, err)
	}
	err := h.FilterAdd(&netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: from.Attrs().Index, Parent: hook.Handle, Priority: 1, Protocol: unix.ETH_P_ALL},
		ClassId:     netlink.MakeHandle(1, 1),
		RedirIndex:  through.Attrs().Index,
		Actions: []netlink.Action{&netlink.MirredAction{
			ActionAttrs: netlink.ActionAttrs{}, MirredAction: netlink.TCA_EGRESS_REDIR, Ifindex: through.Attrs().Index,
		}},
	})
	if err != nil {
		return fmt.Errorf("filter of %s: %w", from.Attrs().Name, err)
	}
	return nil
}

// bucket puts a token bucket at the end of a link (tc-tbf(8)).
func bucket(h *netlink.Handle, link netlink.Link, rate, burst uint64) error {
	bytes, size := max(rate, leastRate)/8, bucketSize(rate, burst)
	full := uint32(min(float64(size)*float64(netlink.TIME_UNITS_PER_SEC)/float64(bytes), math.MaxUint32))
	return h.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       bytes,
		Limit:      uint32(min(float64(bytes)*patience.Seconds()+float64(size), math.MaxUint32)),
		Buffer:     uint32(min(float64(full)*netlink.TickInUsec(), math.MaxUint32)),
	})
}

// bucketSize is a burst in bytes. Runtimes pass the largest number there is where nobody named one, and with that the first half
// gigabyte would not be limited at all: then it is what goes in a tenth of a second. A packet that segmentation offload made must fit.
func bucketSize(rate, burst uint64) uint32 {
	if burst == 0 || burst >= math.MaxInt32 {
		burst = rate / 10
	}
	return uint32(max(min(burst/8, math.MaxInt32), leastBurst))
}
