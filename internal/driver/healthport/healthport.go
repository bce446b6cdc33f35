// Package healthport is the driver of the ports at which cloud balancers ask whether a node has endpoints
// of a Service (spec.healthCheckNodePort). Its table is the listeners of this process.
package healthport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"kube-router/internal/listen"
	"kube-router/internal/row"
)

// Driver answers on one listener per row. The zero value is ready.
type Driver struct {
	// Serving tells whether Services are carried here (KEP-3836); nil: they are. It must not wait.
	Serving func() bool

	mu    sync.Mutex
	ports map[uint16]*port
	conns *listen.Pool // of all ports together
}

// A balancer asks each port every few seconds. Who holds more connections than these shuts itself out.
const (
	most      = 256
	answering = 10 * time.Second
)

// port is one listener with what it answers now.
type port struct {
	row     atomic.Pointer[row.HealthPort]
	serving func() bool
	server  *http.Server
}

// Dump returns what is being answered.
func (d *Driver) Dump(context.Context) (map[uint16]row.HealthPort, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	rows := make(map[uint16]row.HealthPort, len(d.ports))
	for n, p := range d.ports {
		rows[n] = *p.row.Load()
	}
	return rows, nil
}

// Apply opens and closes listeners. A count that changes needs neither.
func (d *Driver) Apply(_ context.Context, changes []row.Change[uint16, row.HealthPort]) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	failed := row.Failed[uint16]{}
	for _, c := range changes {
		if c.New == nil {
			d.close(c.Key)
		} else if err := d.answer(*c.New); err != nil {
			failed[c.Key] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// Close closes every listener.
func (d *Driver) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range d.ports {
		d.close(n)
	}
}

func (d *Driver) close(n uint16) {
	if p := d.ports[n]; p != nil {
		p.server.Close()
		delete(d.ports, n)
	}
}

func (d *Driver) answer(r row.HealthPort) error {
	if p := d.ports[r.Port]; p != nil {
		p.row.Store(&r)
		return nil
	}
	l, err := net.Listen("tcp", ":"+strconv.Itoa(int(r.Port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return row.Foreign{Err: fmt.Errorf("listen for health checks: another program has the port: %w", err)}
	} else if err != nil {
		return fmt.Errorf("listen for health checks: %w", err)
	}
	p := &port{serving: d.Serving}
	p.row.Store(&r)
	p.server = listen.Server(p, answering)
	if d.ports == nil {
		d.ports, d.conns = map[uint16]*port{}, listen.NewPool(most)
	}
	d.ports[r.Port] = p
	in := d.conns.In(l)
	// Serve ends when the row goes and close is called, with an error that says no more than that.
	go func() { _ = p.server.Serve(in) }()
	return nil
}

// ServeHTTP answers in the words of kube-proxy, which balancers and tests know.
func (p *port) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r, serving := p.row.Load(), p.serving == nil || p.serving()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(r.Local))
	if r.Local == 0 || !serving {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// The balancer may have left; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"service":             map[string]string{"namespace": r.Service.Namespace, "name": r.Service.Name},
		"localEndpoints":      r.Local,
		"serviceProxyHealthy": serving,
	})
}
