package agent

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"kube-router/internal/show"
)

// proxyParts answer at kube-proxy's ports while we carry Services in its place. With health checks off nothing
// listens; while kube-proxy itself still runs, its answer stands and ours waits for the port.
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
		return a.door(name, net.JoinHostPort(host, strconv.Itoa(port)), 10*time.Second).Serve(ctx, h)
	}}
}

// doors are where the daemon answers about itself.
func (a *agent) doors() []part {
	serve := func(name, addr string, answer time.Duration, h http.Handler) part {
		return part{name, func(ctx context.Context) error { return a.door(name, addr, answer).Serve(ctx, h) }}
	}
	return []part{
		{"control socket", show.NewServer(a.o.ControlSocket, append(a.asked().Views(), a.rotateView())).Run},
		serve("health", a.o.Health, 10*time.Second, show.HealthHandler(a.pulse)),
		serve("metrics", a.o.Metrics, time.Minute, a.metrics()),
		serve("pprof", a.o.Pprof, 5*time.Minute, show.PprofHandler()),
	}
}

// doorMost is how many connections one address has at once: probes and scrapers need a few.
const doorMost = 128

func (a *agent) door(name, addr string, answer time.Duration) show.Door {
	return show.Door{Name: name, Addr: addr, Most: doorMost, Answer: answer, Log: a.log}
}
