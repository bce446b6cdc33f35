package agent

import (
	"strconv"
	"strings"

	"kube-router/internal/driver/traffic"
	"kube-router/internal/intent"
	"kube-router/internal/model"
	"kube-router/internal/show"
)

// trafficSamples are the traffic of Services as the ipvs engine counts it. The nftables engine sees the first
// packet of a connection only; counting the others would cost each of them a look into a map.
func (a *agent) trafficSamples() []show.Sample {
	if a.services == nil || a.o.Settings.Services.Engine != model.EngineIPVS || !a.o.Settings.Proxy {
		return nil
	}
	all, err := traffic.Read()
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
