package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kube-router/internal/lab/kube"
	"kube-router/internal/lab/podserver"
	"kube-router/internal/lab/probe"
)

// Finding is the outcome of one check.
type Finding struct {
	What   string // such as "pod → pod, other node"
	Family string // "IPv4" or "IPv6"
	From   string
	To     string
	Saw    string // who answered, which source address they saw
	Err    error  // nil: passed
}

// outsidePort is where the host outside answers during a check.
const outsidePort = 9999

// check is one question of the table.
type check struct {
	what     string
	from, to string
	ask      func() (saw string, err error)
}

// Check asks everything that the demo shows, in each family, and tells each finding as it comes. A network may need some time to come
// together: until the given time from now has passed a failing check is tried again. It says how many passed and failed.
func (l *Lab) Check(ctx context.Context, settle time.Duration, tell func(Finding)) (passed, failed int, err error) {
	var server *podserver.Server
	err = l.Outside().Do(func() (err error) {
		server, err = podserver.Listen(podserver.Config{Pod: OutsideName, Node: OutsideName, TCP: []uint16{outsidePort}})
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	defer server.Close()
	deadline := time.Now().Add(settle)
	for _, family := range l.families() {
		checks, err := l.checks(family)
		if err != nil {
			return passed, failed, err
		}
		for _, c := range checks {
			f := Finding{What: c.what, Family: string(family), From: c.from, To: c.to}
			for {
				f.Saw, f.Err = c.ask()
				if f.Err == nil || ctx.Err() != nil || time.Now().After(deadline) {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			if f.Err != nil {
				failed++
			} else {
				passed++
			}
			tell(f)
		}
	}
	return passed, failed, ctx.Err()
}

// families are those that the demo's Service has.
func (l *Lab) families() []corev1.IPFamily {
	if svc := kube.Find[corev1.Service](l.Watch.Services, "default/web"); svc != nil {
		return svc.Spec.IPFamilies
	}
	return nil
}

// scene is what the checks of one family are about.
type scene struct {
	lab            *Lab
	family         corev1.IPFamily
	client         *Host
	near, far      *Host // web pods, on the client's node and on another
	web            []*Host
	service, empty netip.AddrPort
	nodePort       uint16
}

func (l *Lab) checks(family corev1.IPFamily) ([]check, error) {
	s := scene{lab: l, family: family, web: l.Pods("default", "app=web")}
	clients := l.Pods("default", "app=client")
	for _, c := range clients {
		near := slices.IndexFunc(s.web, func(h *Host) bool { return h.node == c.node })
		far := slices.IndexFunc(s.web, func(h *Host) bool { return h.node != c.node })
		if near >= 0 && (far >= 0 || len(l.Nodes()) == 1) {
			s.client, s.near = c, s.web[near]
			if far >= 0 {
				s.far = s.web[far]
			}
			break
		}
	}
	web, nobody := kube.Find[corev1.Service](l.Watch.Services, "default/web"), kube.Find[corev1.Service](l.Watch.Services, "default/nobody")
	if s.client == nil || web == nil || nobody == nil {
		return nil, errors.New("this lab doesn't run the demo: wanted pods app=client and app=web on one node and the Services web and nobody; see \"lab up --demo\"")
	}
	s.service, s.empty = addrOf(web, family), addrOf(nobody, family)
	s.nodePort = uint16(web.Spec.Ports[0].NodePort)
	return s.all(), nil
}

func addrOf(svc *corev1.Service, family corev1.IPFamily) netip.AddrPort {
	for _, text := range svc.Spec.ClusterIPs {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Is6() == (family == corev1.IPv6Protocol) {
			return netip.AddrPortFrom(addr, uint16(svc.Spec.Ports[0].Port))
		}
	}
	return netip.AddrPort{}
}

func (s *scene) addr(h *Host) netip.Addr {
	if s.family == corev1.IPv6Protocol {
		return h.IPv6()
	}
	return h.IPv4()
}

func (s *scene) all() []check {
	all := []check{s.pod("pod → pod, same node", s.client, s.near)}
	if s.far != nil {
		all = append(all, s.pod("pod → pod, other node", s.client, s.far))
	}
	all = append(all,
		s.pod("node → its pod", s.lab.Node(s.near.node).Host, s.near),
		s.share("pod → Service, TCP", s.client, s.service, "tcp"),
		s.share("pod → Service, UDP", s.client, s.service, "udp"))
	for _, n := range s.lab.Nodes() {
		all = append(all, s.share("node → Service", n.Host, s.service, "tcp"))
	}
	for _, n := range s.lab.Nodes() {
		all = append(all, s.share("outside → NodePort", s.lab.Outside(), netip.AddrPortFrom(s.addr(n.Host), s.nodePort), "tcp"))
	}
	return append(all, s.hairpin(), s.refused(), s.egress())
}

// pod checks that a pod answers and sees the asker's own address.
func (s *scene) pod(what string, from, to *Host) check {
	target := netip.AddrPortFrom(s.addr(to), 8080)
	return check{what, from.Name, to.Name, func() (string, error) {
		r := from.Probe(probe.Request{To: target})
		if !r.OK() {
			return "", errors.New(r.String())
		}
		if r.Pod != to.Name || from.node != "" && r.Client.Addr() != s.addr(from) {
			return "", fmt.Errorf("%s answered and saw %s, want %s to see %s", r.Pod, r.Client.Addr(), to.Name, s.addr(from))
		}
		return "source seen " + r.Client.Addr().String(), nil
	}}
}

// share checks that every question is answered, and every web pod gets some.
func (s *scene) share(what string, from *Host, to netip.AddrPort, proto string) check {
	return check{what, from.Name, to.String(), func() (string, error) {
		tally, err := from.hundred(probe.Request{To: to, Proto: proto})
		if err != nil {
			return "", err
		}
		if !tally.OK() || len(tally.ByPod) != len(s.web) {
			return "", fmt.Errorf("of %d: %s; want all answered by %d pods", tally.Total, tally, len(s.web))
		}
		var shares []string
		for _, h := range s.web {
			shares = append(shares, fmt.Sprintf("%d%%", tally.ByPod[h.Name]))
		}
		return "shares " + strings.Join(shares, " "), nil
	}}
}

// hundred asks a hundred times, but gives up after ten, asked at once, when one of them fails.
func (h *Host) hundred(q probe.Request) (*probe.Tally, error) {
	if tally, err := h.Many(q, 10, 10); err != nil || !tally.OK() {
		return tally, err
	}
	return h.Many(q, 100, 4)
}

// hairpin checks that a pod reaches itself through its own Service.
func (s *scene) hairpin() check {
	return check{"hairpin", s.near.Name, s.service.String(), func() (string, error) {
		tally, err := s.near.hundred(probe.Request{To: s.service})
		if err != nil {
			return "", err
		}
		if !tally.OK() || tally.ByPod[s.near.Name] == 0 {
			return "", fmt.Errorf("of %d: %s; want all answered, some by the pod itself", tally.Total, tally)
		}
		return fmt.Sprintf("itself %d of 100", tally.ByPod[s.near.Name]), nil
	}}
}

// refused checks that a Service without endpoints says no at once.
func (s *scene) refused() check {
	return check{"no endpoints", s.client.Name, s.empty.String(), func() (string, error) {
		r := s.client.Probe(probe.Request{To: s.empty})
		if r.Class != probe.Refused {
			return "", fmt.Errorf("%s, want refused", r)
		}
		return fmt.Sprintf("refused in %.1f ms", float64(r.Took.Microseconds())/1000), nil
	}}
}

// egress checks that a pod reaches the outside with its node's address.
func (s *scene) egress() check {
	to := netip.AddrPortFrom(s.addr(s.lab.Outside()), outsidePort)
	want := s.addr(s.lab.Node(s.client.node).Host)
	return check{"pod → outside", s.client.Name, to.String(), func() (string, error) {
		r := s.client.Probe(probe.Request{To: to})
		if !r.OK() {
			return "", errors.New(r.String())
		}
		if r.Client.Addr() != want {
			return "", fmt.Errorf("source seen %s, want the node's, %s", r.Client.Addr(), want)
		}
		return "source seen " + r.Client.Addr().String() + " (the node's)", nil
	}}
}
