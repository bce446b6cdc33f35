package agent

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/vishvananda/netns"

	"kube-router/internal/driver/conntrack"
	"kube-router/internal/driver/traffic"
	"kube-router/internal/engine"
	"kube-router/internal/engine/engines"
	"kube-router/internal/intent"
	"kube-router/internal/reconcile"
	"kube-router/internal/render/linux"
	"kube-router/internal/show"
)

// counter gives what has passed through each front.
type counter func() (map[traffic.Front]traffic.Counters, error)

// newCounter prepares the counting of Services' traffic, where metrics are asked for. What the engine does not count
// itself connection tracking counts.
func (a *agent) newCounter() error {
	s := &a.o.Settings
	if !s.Proxy || a.o.Metrics == "" {
		return nil
	}
	counts := engine.Of(engines.All(), s.Services.Engine).Facility().Counts
	ours := func(s *intent.Service) bool { return counts == nil || !counts(s) }
	tracked, err := a.newMeter(ours)
	if err != nil {
		return err
	}
	a.counter = tracked
	if counts != nil {
		a.counter = func() (map[traffic.Front]traffic.Counters, error) {
			all, err := tracked()
			served, err2 := traffic.Read()
			for front, c := range served {
				all[front] = c.Plus(all[front])
			}
			return all, errors.Join(err, err2)
		}
	}
	return nil
}

// newMeter has connection tracking count for the fronts that a function tells. Its setting is one more of ours.
func (a *agent) newMeter(ours func(*intent.Service) bool) (counter, error) {
	m, err := conntrack.NewMeter(netns.None(), func(f conntrack.Sent) bool {
		s, ok := a.network.Services.Intents.Want(intent.Front{Addr: f.To.Addr(), Port: f.To.Port(), Protocol: f.Protocol})
		return ok && ours(s)
	})
	if err != nil {
		return nil, err
	}
	a.ledgers.Sysctl.Claim(reconcile.Owner{Name: "metrics"}, linux.Accounting())
	a.meters = append(a.meters, part{"traffic of Services", func(ctx context.Context) error {
		// Metrics are no reason to end the daemon.
		if err := m.Run(ctx); err != nil {
			a.log.Warn("traffic of Services is counted no longer", "error", err)
		}
		return nil
	}})
	rates := &traffic.Rates{}
	return func() (map[traffic.Front]traffic.Counters, error) {
		sums, err := m.Read()
		all := make(map[traffic.Front]traffic.Counters, len(sums))
		for f, c := range sums {
			all[traffic.Front{Addr: f.To.Addr(), Port: f.To.Port(), Protocol: f.Protocol}] = traffic.Counters{
				Connections: c.Flows, PacketsIn: c.PacketsIn, PacketsOut: c.PacketsOut, BytesIn: c.BytesIn, BytesOut: c.BytesOut,
			}
		}
		return rates.Add(all, time.Now()), err
	}, nil
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
	for front, s := range a.network.Services.Intents.All {
		if c, ok := all[traffic.Front{Addr: front.Addr, Port: front.Port, Protocol: front.Protocol}]; ok {
			list = append(list, frontSamples(s, c)...)
		}
	}
	return list
}

// frontSamples are the reference's metrics of one front, with its names and labels.
func frontSamples(s *intent.Service, c traffic.Counters) []show.Sample {
	labels := []string{
		"svc_namespace", s.Owner.Namespace, "service_name", s.Owner.Name, "service_vip", s.Addr.String(),
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
