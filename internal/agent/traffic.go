package agent

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netns"

	"kube-router/internal/driver/conntrack"
	"kube-router/internal/driver/traffic"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/linux"
	"kube-router/internal/show"
)

// counter gives what has passed through each front.
type counter func() (map[traffic.Front]traffic.Counters, error)

// newCounter prepares the counting of Services' traffic, where metrics are asked for. IPVS counts by itself. With the
// nftables engine connection tracking counts: its setting is one more of ours.
func (a *agent) newCounter() error {
	s := &a.o.Settings
	switch {
	case !s.Proxy || a.o.Metrics == "":
	case s.Services.Engine == model.EngineIPVS:
		a.counter = traffic.Read
	default:
		m, err := conntrack.NewMeter(netns.None(), func(f conntrack.Sent) bool {
			_, ok := a.services.intents.Want(intent.Front{Addr: f.To.Addr(), Port: f.To.Port(), Protocol: f.Protocol})
			return ok
		})
		if err != nil {
			return err
		}
		a.ledgers.sysctl.Claim(reconcile.Owner{Name: "metrics"}, linux.Accounting())
		rates := &traffic.Rates{}
		a.meters = append(a.meters, part{"traffic of Services", func(ctx context.Context) error {
			// Metrics are no reason to end the daemon.
			if err := m.Run(ctx); err != nil {
				a.log.Warn("traffic of Services is counted no longer", "error", err)
			}
			return nil
		}})
		a.counter = func() (map[traffic.Front]traffic.Counters, error) {
			sums, err := m.Read()
			all := make(map[traffic.Front]traffic.Counters, len(sums))
			for f, c := range sums {
				all[traffic.Front{Addr: f.To.Addr(), Port: f.To.Port(), Protocol: f.Protocol}] = traffic.Counters{
					Connections: c.Flows, PacketsIn: c.PacketsIn, PacketsOut: c.PacketsOut, BytesIn: c.BytesIn, BytesOut: c.BytesOut,
				}
			}
			return rates.Add(all, time.Now()), err
		}
	}
	return nil
}

// trafficSamples are the traffic of Services, under the reference's names.
func (a *agent) trafficSamples() []show.Sample {
	if a.counter == nil {
		return nil
	}
	begin := time.Now()
	all, err := a.counter()
	a.meter.Export.Observe(time.Since(begin).Seconds())
	if err != nil {
		a.log.Debug("traffic of Services can't be read", "error", err)
		return nil
	}
	var list []show.Sample
	for front, s := range a.services.intents.All {
		if c, ok := all[traffic.Front{Addr: front.Addr, Port: front.Port, Protocol: front.Protocol}]; ok {
			list = append(list, frontSamples(s, c)...)
		}
	}
	return list
}

// frontSamples are the reference's metrics of one front, with its names and labels.
func frontSamples(s *intent.Service, c traffic.Counters) []show.Sample {
	namespace, name, _ := strings.Cut(s.Owner, "/") // no part of a name holds a slash (RFC 1123)
	labels := []string{
		"svc_namespace", namespace, "service_name", name, "service_vip", s.Addr.String(),
		"protocol", intent.ProtocolName(s.Protocol), "port", strconv.Itoa(int(s.Port)),
	}
	list := []show.Sample{
		{Name: "service_total_connections", Help: "Connections to the Service", Value: float64(c.Connections), Counter: true},
		{Name: "service_packets_in", Help: "Packets to the Service", Value: float64(c.PacketsIn), Counter: true},
		{Name: "service_packets_out", Help: "Packets from the Service", Value: float64(c.PacketsOut), Counter: true},
		{Name: "service_bytes_in", Help: "Bytes to the Service", Value: float64(c.BytesIn), Counter: true},
		{Name: "service_bytes_out", Help: "Bytes from the Service", Value: float64(c.BytesOut), Counter: true},
		{Name: "service_cps", Help: "Connections per second", Value: c.ConnectionRate},
		{Name: "service_pps_in", Help: "Packets per second to the Service", Value: c.PacketRateIn},
		{Name: "service_pps_out", Help: "Packets per second from the Service", Value: c.PacketRateOut},
		{Name: "service_bps_in", Help: "Bytes per second to the Service", Value: c.ByteRateIn},
		{Name: "service_bps_out", Help: "Bytes per second from the Service", Value: c.ByteRateOut},
	}
	for i := range list {
		list[i].Labels = labels
	}
	return list
}
