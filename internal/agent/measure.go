package agent

import (
	"net/http"
	"slices"

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
	fronts := 0
	if a.services != nil {
		fronts = a.services.intents.Len()
	}
	list := slices.Concat(a.bgpSamples(), a.trafficSamples(), a.tallySamples(), a.dropSamples())
	return append(list, show.Sample{Name: "controller_ipvs_services", Help: "Fronts of Services", Value: float64(fronts)})
}
