//go:build interop

package interop

import (
	"os"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// guideConfig is a router's configuration as the guide prints it, with the lab's addresses.
func guideConfig(t *testing.T, mark, router, as string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/bgp-routers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "<!-- "+mark+": run by test/interop -->\n```text\n")
	config, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatalf("the guide has no configuration marked %s", mark)
	}
	return strings.NewReplacer("192.0.2.11", "172.30.0.11", "192.0.2.12", "172.30.0.12", "192.0.2.1;", router+";", "192.0.2.1 ", router+" ",
		"192.0.2.1\n", router+"\n", "64513", as).Replace(config)
}

// TestGuide runs the guide's configurations: the router has the nodes' pod ranges and a Service's address by both nodes, both families,
// and the node is taught nothing.
func TestGuide(t *testing.T) {
	for _, c := range []struct {
		mark, as, routes string
		start            func(w *world, config string) *router
	}{
		{"bird", "65001", "show route", func(w *world, config string) *router {
			w.t.Helper()
			r := &router{Host: w.Host("r1"), w: w}
			r.write("/run/bird.conf", "log stderr all;\n"+config)
			r.cli = func(command string) (string, error) {
				return r.Run(w.ctx, "/usr/sbin/birdc", append([]string{"-s", birdSocket}, strings.Fields(command)...)...)
			}
			r.start()
			return r
		}},
		{"frr", "65002", "show bgp ipv4 unicast", func(w *world, config string) *router { return w.frr("r1", config) }},
	} {
		t.Run(c.mark, func(t *testing.T) {
			args := append(peering(first), "--advertise-loadbalancer-ip")
			args[1] = "--peer-router-asns=" + c.as
			w := begin(t, lab.Config{}, args...)
			w.apply(service("web", "10.98.0.1", "fd00:10:98::1", "n1", "Cluster"))
			r := c.start(w, guideConfig(t, c.mark, first, c.as))
			r.says(30*time.Second, c.routes, "10.244.1.0/24", "10.244.2.0/24", "10.98.0.1/32")
			for _, to := range []string{"10.98.0.1", "10.244.2.0/24"} {
				w.until("the router's kernel has "+to, 5*time.Second, func() error {
					out, err := r.Run(w.ctx, "ip", "route", "show", to)
					if err != nil {
						return err
					}
					return contains(out, "172.30.0.12")
				})
			}
			w.until("both families", 5*time.Second, func() error {
				out, err := r.Run(w.ctx, "ip", "-6", "route")
				if err != nil {
					return err
				}
				return contains(out, "fd00:10:244:1::/64", "fd00:10:98::1")
			})
			if peers := w.show("n1", "peers"); !strings.Contains(peers, "ESTABLISHED") {
				t.Error(peers)
			}
		})
	}
}
