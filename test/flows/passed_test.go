//go:build flows

package flows

import (
	"fmt"
	"net/netip"
	"testing"

	"kube-router/internal/flow"
	"kube-router/internal/lab"
)

// TestPassed: connections are told with the names of both ends, the Service, and what went each way.
func TestPassed(t *testing.T) {
	w := begin(t, lab.Config{Nodes: 2})
	client, web := w.pod("default", "client", "n1"), w.pod("shop", "web", "n2")
	near := w.pod("shop", "web", "n1")
	for family, name := range families {
		for _, c := range []struct {
			title, proto string
			to           *lab.Host
			nodes        []string
		}{{"to another node", "tcp", web, []string{"n1", "n2"}}, {"to another node", "udp", web, []string{"n1", "n2"}}, {"on one node", "tcp", near, []string{"n1"}}} {
			at := netip.AddrPortFrom(c.to.Addrs()[family], port)
			if r := ask(client, at, c.proto); !r.OK() {
				t.Fatalf("%s: %s", at, r)
			}
			for _, node := range c.nodes {
				err := w.found(node, []string{"--from-pod", client.Name, "--ip", at.Addr().String(), "--protocol", c.proto, "--verdict", "FORWARDED"},
					[]string{" " + client.Name + ":", fmt.Sprintf("-> %s:%d FORWARDED", c.to.Name, port)}, func(r flow.Record) string {
						direction := map[bool]string{true: "INGRESS", false: "EGRESS"}[node == c.to.NodeName()]
						complaint := wanted(r.NodeName, node, r.Flow.Source.Namespace, "default", "default/"+r.Flow.Source.Pod, client.Name, r.Flow.Destination.Namespace, "shop",
							"shop/"+r.Flow.Destination.Pod, c.to.Name, r.Flow.IP.Version, name, r.Flow.Direction, direction, fmt.Sprint(r.Flow.Destination.Workloads), "[{web DaemonSet}]")
						if complaint == "" && c.proto == "tcp" && r.Own.Ended != nil && (r.Own.PacketsOut < 3 || r.Own.BytesIn == 0) {
							complaint = fmt.Sprintf("%+v", r.Own)
						}
						return complaint
					})
				w.judge("passed "+name, c.title+" by "+c.proto+", seen by "+node, err)
			}
		}
		front := netip.AddrPortFrom(w.frontend("shop", "web", family), 80)
		if r := ask(client, front, "tcp"); !r.OK() {
			t.Fatalf("%s: %s", front, r)
		}
		err := w.found("n1", []string{"--to-service", "shop/web", "--port", "80", "--from-pod", client.Name, "--to-ip", front.Addr().String()},
			[]string{"FORWARDED (TCP) by Service shop/web at " + front.String()}, func(r flow.Record) string {
				return wanted(r.Flow.Service.Namespace, "shop", r.Flow.Service.Name, "web", r.Own.Frontend, front.String(), r.Own.Port, "http", r.Flow.Destination.Labels[1], "k8s:app=web")
			})
		w.judge("passed "+name, "through a Service", err)
		outside := netip.AddrPortFrom(w.Outside().Addrs()[family], 9)
		ask(client, outside, "tcp")
		err = w.found("n1", []string{"--ip", outside.Addr().String()}, []string{client.Name, outside.String() + " (world)"}, func(r flow.Record) string {
			return wanted(fmt.Sprint(r.Flow.Destination.Identity), "2", r.Flow.Direction, "EGRESS")
		})
		w.judge("passed "+name, "to the world", err)
	}
	node := netip.AddrPortFrom(w.Node("n2").Addrs()[0], 20244)
	ask(client, node, "tcp")
	err := w.found("n1", []string{"--ip", node.Addr().String(), "--port", "20244"}, []string{"(node n2)"}, func(r flow.Record) string {
		return wanted(fmt.Sprint(r.Flow.Destination.Identity), "6", r.Own.DestNode, "n2")
	})
	w.judge("passed", "to a node", err)
}
