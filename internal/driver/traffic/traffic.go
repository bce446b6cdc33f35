// Package traffic reads what the kernel counts for each front of a Service. It writes nothing; metrics are made of it.
package traffic

import (
	"fmt"
	"net/netip"

	"github.com/moby/ipvs"
)

// Front is where a virtual server listens.
type Front struct {
	Addr     netip.Addr
	Port     uint16
	Protocol uint8 // IANA number
}

// Counters are what one virtual server has seen since it was made, and its rates, which the kernel averages
// over some seconds.
type Counters struct {
	Connections                 uint64
	PacketsIn, PacketsOut       uint64
	BytesIn, BytesOut           uint64
	ConnectionRate              float64 // per second
	PacketRateIn, PacketRateOut float64
	ByteRateIn, ByteRateOut     float64
}

// Plus is the sum of what two have seen of one front.
func (c Counters) Plus(d Counters) Counters {
	return Counters{
		Connections: c.Connections + d.Connections, PacketsIn: c.PacketsIn + d.PacketsIn, PacketsOut: c.PacketsOut + d.PacketsOut,
		BytesIn: c.BytesIn + d.BytesIn, BytesOut: c.BytesOut + d.BytesOut, ConnectionRate: c.ConnectionRate + d.ConnectionRate,
		PacketRateIn: c.PacketRateIn + d.PacketRateIn, PacketRateOut: c.PacketRateOut + d.PacketRateOut,
		ByteRateIn: c.ByteRateIn + d.ByteRateIn, ByteRateOut: c.ByteRateOut + d.ByteRateOut,
	}
}

// Read reads the counters of all virtual servers with an address, in the network namespace of the calling
// thread. Those of marked packets (DSR) have no address of their own and are left out, as in the reference.
func Read() (map[Front]Counters, error) {
	h, err := ipvs.New("")
	if err != nil {
		return nil, fmt.Errorf("open IPVS: %w", err)
	}
	defer h.Close()
	list, err := h.GetServices()
	if err != nil {
		return nil, fmt.Errorf("list IPVS: %w", err)
	}
	all := map[Front]Counters{}
	for _, s := range list {
		addr, ok := netip.AddrFromSlice(s.Address)
		if !ok || s.FWMark != 0 {
			continue
		}
		c := s.Stats
		all[Front{addr.Unmap(), s.Port, uint8(s.Protocol)}] = Counters{
			Connections: uint64(c.Connections), PacketsIn: uint64(c.PacketsIn), PacketsOut: uint64(c.PacketsOut),
			BytesIn: c.BytesIn, BytesOut: c.BytesOut, ConnectionRate: float64(c.CPS),
			PacketRateIn: float64(c.PPSIn), PacketRateOut: float64(c.PPSOut),
			ByteRateIn: float64(c.BPSIn), ByteRateOut: float64(c.BPSOut),
		}
	}
	return all, nil
}
