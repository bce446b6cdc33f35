package socket

import (
	"strings"
	"testing"

	"kube-router/internal/model"
)

func yes() *bool { b := true; return &b }
func no() *bool  { b := false; return &b }

// TestWhoseSocketsAreServed goes through every reason for which a pod's aren't.
func TestWhoseSocketsAreServed(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(*model.Settings, *model.Attachment, *model.Pod, *model.Namespace)
		why  string // begins with; empty: served
	}{
		{"a pod", nil, ""},
		{"off", func(s *model.Settings, _ *model.Attachment, _ *model.Pod, _ *model.Namespace) {
			s.Socket.Mode = model.SocketOff
		}, "--socket-lb is off"},
		{"the kernel can't", func(s *model.Settings, _ *model.Attachment, _ *model.Pod, _ *model.Namespace) { s.Socket.Unable = "no" }, "--socket-lb is off"},
		{"no proxy", func(s *model.Settings, _ *model.Attachment, _ *model.Pod, _ *model.Namespace) { s.Proxy = false }, "--socket-lb is off"},
		{"auto", func(s *model.Settings, _ *model.Attachment, _ *model.Pod, _ *model.Namespace) {
			s.Socket.Mode = model.SocketAuto
		}, ""},
		{"the node alone", func(s *model.Settings, _ *model.Attachment, _ *model.Pod, _ *model.Namespace) {
			s.Socket.Mode = model.SocketHost
		}, "--socket-lb serves the node alone"},
		{"without pods to read", func(s *model.Settings, _ *model.Attachment, _ *model.Pod, _ *model.Namespace) { s.Firewall = false }, "--socket-lb serves the node alone"},
		{"of before", func(_ *model.Settings, a *model.Attachment, _ *model.Pod, _ *model.Namespace) { a.Cookie = 0 }, "an older kube-router-cni"},
		{"the host's", func(_ *model.Settings, a *model.Attachment, _ *model.Pod, _ *model.Namespace) { a.Cookie = 1 }, "it is the node's own"},
		{"another pod of the name", func(_ *model.Settings, a *model.Attachment, _ *model.Pod, _ *model.Namespace) { a.UID = "old" }, "has not been read"},
		{"its annotation", func(_ *model.Settings, _ *model.Attachment, p *model.Pod, _ *model.Namespace) { p.AtSocket = no() }, "annotation kube-router.io/socket-lb of the pod"},
		{"its namespace's", func(_ *model.Settings, _ *model.Attachment, _ *model.Pod, n *model.Namespace) { n.AtSocket = no() }, "annotation kube-router.io/socket-lb of the namespace"},
		{"its own goes first", func(_ *model.Settings, _ *model.Attachment, p *model.Pod, n *model.Namespace) {
			p.AtSocket, n.AtSocket = yes(), no()
		}, ""},
		{"a sidecar", func(_ *model.Settings, _ *model.Attachment, p *model.Pod, _ *model.Namespace) {
			p.Packets = "Istio's sidecar"
		}, "Istio's sidecar"},
		{"a sidecar, whatever its namespace says", func(_ *model.Settings, _ *model.Attachment, p *model.Pod, n *model.Namespace) {
			p.Packets, n.AtSocket = "Istio's sidecar", yes()
		}, "Istio's sidecar"},
		{"a sidecar that wants it", func(_ *model.Settings, _ *model.Attachment, p *model.Pod, _ *model.Namespace) {
			p.Packets, p.AtSocket = "Istio's sidecar", yes()
		}, ""},
	} {
		settings := model.Settings{
			Node: "n1", Proxy: true, Firewall: true, CNI: model.CNISettings{Socket: "/run/cni.sock"},
			Socket: model.SocketSettings{Mode: model.SocketPods, Cookie: 1},
		}
		name := model.Name{Namespace: "default", Name: "web"}
		a := &model.Attachment{Container: "c1", Ifname: "eth0", Pod: name, UID: "u1", Cookie: 7}
		p, n := &model.Pod{Name: name, UID: "u1"}, &model.Namespace{Name: "default"}
		if c.with != nil {
			c.with(&settings, a, p, n)
		}
		m := model.New(settings)
		m.Put(a)
		if got := Why(m, a); settings.AtPodSockets() && a.Cookie > 1 && !strings.Contains(got, "the pod has not been read") {
			t.Errorf("%s, without the pod: %q", c.name, got)
		}
		m.Put(p)
		m.Put(n)
		got := Why(m, a)
		space, ok := Space(m, a.Ref())
		if (c.why == "") != (got == "") || !strings.Contains(got, c.why) || ok != (got == "") {
			t.Errorf("%s: %q and %v, want %q", c.name, got, ok, c.why)
		}
		if ok && (space.Cookie != 7 || space.Pod != "default/web") {
			t.Errorf("%s: %v", c.name, space)
		}
		if _, ok := Space(m, Node); ok != settings.AtSocket() {
			t.Errorf("%s: the node's own is served: %v", c.name, ok)
		}
	}
}

// TestAKernelThatCantIsToldToWhoAsked and to nobody else.
func TestAKernelThatCantIsToldToWhoAsked(t *testing.T) {
	for mode, want := range map[model.SocketMode]int{model.SocketOff: 0, model.SocketAuto: 0, model.SocketHost: 1, model.SocketPods: 1} {
		m := model.New(model.Settings{Node: "n1", Proxy: true, Socket: model.SocketSettings{Mode: mode, Unable: "no cgroup2"}})
		if got := Remarks(m); len(got) != want || want > 0 && !strings.Contains(got[0].Message, "no cgroup2") {
			t.Errorf("%s: %v", mode, got)
		}
	}
}
