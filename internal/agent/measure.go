package agent

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"kube-router/internal/show"
)

// metrics serves the metrics at the path of the settings.
func (a *agent) metrics() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(a.o.MetricsPath, a.meter.Handler())
	return mux
}

// samples are the values that no lane counts.
func (a *agent) samples() []show.Sample {
	list := slices.Concat(a.bgpSamples(), a.trafficSamples(), a.tallySamples(), a.dropSamples(), a.rehearsedSamples(), a.allocator.samples(), a.socketSamples(), a.wireSamples(), l2Samples(a.arp), a.flowSamples(), a.names.samples())
	return append(list, show.Sample{Name: "controller_ipvs_services", Help: "Fronts of Services", Value: float64(a.network.Services.Intents.Len())})
}

// bgpSamples are the sessions as the reference's metrics have them.
func (a *agent) bgpSamples() []show.Sample {
	list, err := a.speaker.states(context.Background(), false)
	if err != nil {
		return nil // an absent sample says that nobody knows
	}
	samples := make([]show.Sample, 0, len(list))
	for _, s := range list {
		samples = append(samples, show.Sample{
			Name: "bgp_peer_info", Help: "BGP sessions and their state", Value: 1,
			Labels: []string{"address", s.Addr.String(), "type", s.Type(), "asn", strconv.FormatUint(uint64(s.ASN), 10), "state", s.Session},
		})
	}
	return samples
}
