package agent

import (
	"context"
	"net"
	"net/http"
	"strconv"

	"kube-router/internal/show"
)

// proxyParts answer at kube-proxy's ports while we carry Services in its place. With health checks off nothing
// listens; where kube-proxy itself still runs, its answer stands and ours is missing.
func (a *agent) proxyParts() []part {
	if !a.o.Settings.Proxy || a.o.Health == "" {
		return nil
	}
	host, _, _ := net.SplitHostPort(a.o.Health)
	return []part{
		a.proxyPart("kube-proxy's health port", host, show.ProxyHealthPort, show.ProxyHealthHandler(a.pulse)),
		a.proxyPart("kube-proxy's mode", "127.0.0.1", show.ProxyModePort, show.ProxyModeHandler(string(a.o.Settings.Services.Engine))),
	}
}

func (a *agent) proxyPart(name, host string, port int, h http.Handler) part {
	return part{name, func(ctx context.Context) error {
		if err := show.Serve(ctx, net.JoinHostPort(host, strconv.Itoa(port)), h); err != nil {
			a.log.Warn("not served", "what", name, "error", err)
		}
		return nil
	}}
}
