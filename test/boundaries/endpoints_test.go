//go:build boundaries

package boundaries

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kube-router/internal/lab"
	"kube-router/internal/lab/labtest"
	"kube-router/internal/lab/probe"
)

// noSelector is a dual-stack Service whose endpoints somebody writes, with a port for TCP and UDP.
const noSelector = `---
apiVersion: v1
kind: Service
metadata: {namespace: default, name: %s}
spec:
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  clusterIPs: [10.96.0.%d, "fd00:10:96::%[2]d"]
  ports: [{name: t, port: 80}, {name: u, protocol: UDP, port: 80}]
`

// handmade is an EndpointSlice of a Service with an endpoint for each address.
func handmade(name, service, family string, port int, node string, addrs ...string) string {
	var list []string
	for _, a := range addrs {
		list = append(list, fmt.Sprintf("{addresses: [%q], nodeName: %s, conditions: {ready: true}}", a, node))
	}
	return fmt.Sprintf(`---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: default, name: %s, labels: {kubernetes.io/service-name: %s}}
addressType: %s
ports: [{name: t, protocol: TCP, port: %d}, {name: u, protocol: UDP, port: %[4]d}]
endpoints: [%s]
`, name, service, family, port, strings.Join(list, ", "))
}

// doors are a daemon of a host: it takes TCP and UDP at all addresses, on a port that no Service has, and counts who comes.
func doors(t *testing.T, h *lab.Host, port int) *atomic.Int64 {
	t.Helper()
	var came atomic.Int64
	err := h.Do(func() error {
		tcp, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
		if err != nil {
			return err
		}
		t.Cleanup(func() { tcp.Close() })
		go func() {
			for {
				c, err := tcp.Accept()
				if err != nil {
					return
				}
				came.Add(1)
				c.Close()
			}
		}()
		for _, network := range []string{"udp4", "udp6"} {
			udp, err := net.ListenUDP(network, &net.UDPAddr{Port: port})
			if err != nil {
				return err
			}
			t.Cleanup(func() { udp.Close() })
			go func() {
				for b := make([]byte, 100); ; came.Add(1) {
					if _, _, err := udp.ReadFromUDP(b); err != nil {
						return
					}
				}
			}()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &came
}

// TestEngineEndpointsThatNoServiceIsFor has EndpointSlices, which no API server need have checked, name what nobody may reach by
// a Service: the node itself, everybody on a link, and other Services. Beside them the endpoint of a pod goes on being served.
func TestEngineEndpointsThatNoServiceIsFor(t *testing.T) {
	w := start(t, lab.Config{Nodes: 2, DaemonArgs: holderFlags})
	w.apply(t, labelled("right", "web", "n1", "")+labelled("victim", "victim", "n2", "")+labelled("client", "client", "n1", ""))
	w.apply(t, dual("other", "victim", "ClusterIP", 8080, 0, `clusterIPs: [10.96.0.70, "fd00:10:96::70"]
  externalIPs: ["10.98.0.70", "fd00:10:98::70"]`))
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.apply(t, fmt.Sprintf(noSelector, "web", 71)+fmt.Sprintf(noSelector, "void", 72))
	right, client, n1 := w.Pod("right"), w.Pod("client"), w.Node("n1")
	bad := map[string][]string{
		"IPv4": {"127.0.0.1", "127.8.9.10", "169.254.7.7", "0.0.0.0", "0.0.0.1", "224.0.0.1", "255.255.255.255", "172.30.0.255", "10.244.1.255", "10.96.0.70", "10.98.0.70"},
		"IPv6": {"::1", "::ffff:127.0.0.1", "::", "fe80::1", "ff02::1", "fd00:10:96::70", "fd00:10:98::70"},
	}
	const daemon = 9000
	came := []*atomic.Int64{doors(t, n1.Host, daemon), doors(t, w.Node("n2").Host, daemon)}
	for family, addrs := range bad {
		own := right.IPv4()
		if family == "IPv6" {
			own = right.IPv6()
		}
		w.apply(t, handmade("good-"+strings.ToLower(family), "web", family, 8080, "n1", own.String()))
		for _, service := range []string{"web", "void"} {
			for _, port := range []int{8080, daemon} {
				name := fmt.Sprintf("bad-%s-%s-%d", service, strings.ToLower(family), port)
				if err := w.PutRaw(handmade(name, service, family, port, "n1", addrs...)); err != nil {
					t.Fatal(err)
				}
				judge(t, "each endpoint of "+name+" is remarked on", w.remarked(n1, name, addrs))
			}
		}
	}
	for _, from := range []*lab.Host{client, n1.Host} {
		for _, a := range []string{"10.96.0.71", "fd00:10:96::71"} {
			for _, proto := range []string{"tcp", "udp"} {
				to := netip.MustParseAddr(a)
				what := fmt.Sprintf("from %s at %s/%s", from.Name, a, proto)
				judge(t, "the rightful endpoint, "+what, w.answers(from, to, 80, proto, "right"))
				judge(t, "it alone, "+what, only(from, probe.Request{To: netip.AddrPortFrom(to, 80), Proto: proto, Timeout: 2 * time.Second}, "right"))
				judge(t, "without a rightful one nobody, "+what, w.answers(from, to.Next(), 80, proto, nobody))
			}
		}
	}
	judge(t, "another Service goes on", w.answers(client, netip.MustParseAddr("10.96.0.70"), 8080, "tcp", "victim"))
	for i, n := range w.Nodes() {
		c := ""
		if got := came[i].Load(); got > 0 {
			c = fmt.Sprintf("%d came", got)
		}
		judge(t, "nobody comes to "+n.Name+"'s daemon", c)
	}
	n1.Probe(probe.Request{To: netip.AddrPortFrom(n1.IPv4(), daemon), Proto: "tcp", Timeout: time.Second})
	if came[0].Load() == 0 {
		t.Error("whoever may doesn't come to n1's daemon either")
	}
}

// remarked complains unless a node's remarks name a slice with each of the addresses.
func (w *world) remarked(n *lab.Node, slice string, addrs []string) string {
	var out string
	missing := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		out, _ = n.Run(w.ctx, filepath.Join(programs, "kube-router"), "show", "remarks")
		missing = ""
		for _, a := range addrs {
			found := false
			for _, line := range strings.Split(out, "\n") {
				found = found || strings.Contains(line, slice) && strings.Contains(line, " "+netip.MustParseAddr(a).Unmap().String()+" ignored")
			}
			if !found {
				missing += " " + a
			}
		}
		if missing == "" {
			return ""
		}
	}
	return "nothing is said of" + missing + " in:\n" + out
}

// only complains unless one pod answers all of more questions than there are endpoints.
func only(from *lab.Host, q probe.Request, pod string) string {
	for range 24 {
		if r := from.Probe(q); !r.OK() || strings.TrimPrefix(r.Pod, "default/") != pod {
			return fmt.Sprintf("%s: %v", q.To, r)
		}
	}
	return ""
}

// directPods are pods of one namespace and of another, and a Service with direct server return.
const directPods = `---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: v1
kind: Pod
metadata: {namespace: other, name: stranger, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, image: lab, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {namespace: default, name: direct, annotations: {kube-router.io/service.dsr: tunnel}}
spec:
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  selector: {app: web}
  externalIPs: ["10.98.0.80", "fd00:10:98::80"]
  ports: [{name: t, port: 8080, targetPort: 8080}]
`

// TestEngineEndpointsEnterNoOtherPods has EndpointSlices of a Service with direct server return, for which pods' networks are set up,
// name a pod of another namespace and one that the Service doesn't select.
func TestEngineEndpointsEnterNoOtherPods(t *testing.T) {
	w := start(t, lab.Config{Nodes: 1, DaemonArgs: holderFlags})
	w.routed(t, "10.98.0.0/16", "fd00:10:98::/112")
	w.apply(t, labelled("right", "web", "n1", "")+labelled("beside", "db", "n1", "")+directPods)
	if err := w.WaitReady(w.ctx); err != nil {
		t.Fatal(err)
	}
	vips := []netip.Addr{netip.MustParseAddr("10.98.0.80"), netip.MustParseAddr("fd00:10:98::80")}
	for _, name := range []string{"default/beside", "other/stranger"} {
		namespace, short, _ := strings.Cut(name, "/")
		for family, a := range map[string]netip.Addr{"IPv4": w.Pod(name).IPv4(), "IPv6": w.Pod(name).IPv6()} {
			slice := handmade(short+"-"+strings.ToLower(family), "direct", family, 8080, "n1", a.String())
			target := fmt.Sprintf("nodeName: n1, targetRef: {kind: Pod, namespace: %s, name: %s}", namespace, short)
			w.apply(t, strings.Replace(slice, "nodeName: n1", target, 1))
			if labtest.Engine() == "ipvs" {
				judge(t, name+" is remarked on, "+family, w.remarked(w.Node("n1"), "direct", []string{a.String()}))
			}
		}
	}
	if labtest.Engine() == "ipvs" {
		for _, a := range vips {
			judge(t, "the Service's own pod gets "+a.String(), w.answers(w.Outside(), a, 8080, "tcp", "right"))
			judge(t, "it alone", only(w.Outside(), probe.Request{To: netip.AddrPortFrom(a, 8080), Proto: "tcp", Timeout: 2 * time.Second}, "right"))
			judge(t, a.String()+" is set up in it", inPod(t, w, w.Pod("right"), a, true))
		}
	} else {
		for _, a := range vips {
			judge(t, a.String()+" is served", w.answers(w.Outside(), a, 8080, "tcp", "right"))
			judge(t, a.String()+" is set up in no pod", inPod(t, w, w.Pod("right"), a, false))
		}
	}
	for _, pod := range []*lab.Host{w.Pod("beside"), w.Pod("other/stranger")} {
		for _, a := range vips {
			judge(t, pod.Name+" isn't entered for "+a.String(), inPod(t, w, pod, a, false))
		}
	}
}

// inPod complains unless a pod has a Service's address and the tunnel for it, or neither.
func inPod(t *testing.T, w *world, pod *lab.Host, a netip.Addr, want bool) string {
	t.Helper()
	out := mustRun(t, w, pod, "ip", "addr")
	if strings.Contains(out, a.String()+"/") != want || strings.Contains(out, "kube-tunnel") != want {
		return out
	}
	return ""
}
