package sock

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/intent"
	"kube-router/internal/row"
)

func front(addr string) *intent.Service {
	return &intent.Service{
		Front: intent.Front{Addr: netip.MustParseAddr(addr), Port: 80, Protocol: tcp}, Owner: intent.Name{Namespace: "default", Name: "web"},
		Backends: []intent.Backend{{Addr: netip.MustParseAddr("10.244.1.5"), Port: 8080}, {Addr: netip.MustParseAddr("10.244.2.5"), Port: 8081}},
	}
}

func TestRows(t *testing.T) {
	six := front("fd00:96::10")
	six.Backends = []intent.Backend{{Addr: netip.MustParseAddr("fd00:244::5"), Port: 8080}}
	var got []string
	for _, s := range []*intent.Service{front("10.96.0.10"), six} {
		for _, r := range Service(s) {
			got = append(got, r.String())
		}
	}
	got = append(got, Space(intent.SocketSpace{Cookie: 1}).String(), Space(intent.SocketSpace{Cookie: 4711, Pod: "default/web"}).String())
	for _, r := range Programs("/sys/fs/cgroup", map[row.BpfHook]string{row.BpfConnect4: "01234567", row.BpfGetpeername6: "89abcdef"}) {
		got = append(got, r.String())
	}
	want := []string{
		"map update name kr_heads4 key 10.96.0.10:80/tcp value 2",
		"map update name kr_slots4 key 10.96.0.10:80/tcp#0 value 10.244.1.5:8080",
		"map update name kr_slots4 key 10.96.0.10:80/tcp#1 value 10.244.2.5:8081",
		"map update name kr_heads6 key [fd00:96::10]:80/tcp value 1",
		"map update name kr_slots6 key [fd00:96::10]:80/tcp#0 value [fd00:244::5]:8080",
		"map update name kr_netns key 1 value host",
		"map update name kr_netns key 4711 value pod",
		"cgroup attach /sys/fs/cgroup connect4 name kr_c4_01234567",
		"cgroup attach /sys/fs/cgroup getpeername6 name kr_p6_89abcdef",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestWhatCantBeServedExactlyIsLeftOut: every field of an intent that the service engine minds and connect() can't.
func TestWhatCantBeServedExactlyIsLeftOut(t *testing.T) {
	for want, with := range map[string]func(*intent.Service){
		"":                      func(*intent.Service) {},
		"udp keeps to packets":  func(s *intent.Service) { s.Protocol = 17 },
		"sctp keeps to packets": func(s *intent.Service) { s.Protocol = 132 },
		"no endpoints":          func(s *intent.Service) { s.Backends = nil },
		"drops clients":         func(s *intent.Service) { s.Backends, s.Silent = nil, true },
		"session affinity":      func(s *intent.Service) { s.Affinity = time.Hour },
		"source ranges":         func(s *intent.Service) { s.Sources = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
		"--masquerade-all":      func(s *intent.Service) { s.Masquerade = true },
		"scheduler sh":          func(s *intent.Service) { s.Scheduler = "sh" },
		"direct server return":  func(s *intent.Service) { s.DSR = true },
	} {
		s := front("10.96.0.10")
		with(s)
		if got := Why(s); !strings.HasPrefix(got, want) || (got == "") != (want == "") || (len(Service(s)) > 0) != (want == "") {
			t.Errorf("%q, want %q; rows %v", got, want, Service(s))
		}
	}
	// Clients outside have no sockets here: what is for them changes nothing.
	plain, far := front("10.96.0.10"), front("10.96.0.10")
	far.Far, far.KeepSource, far.Near, far.Keep = true, true, far.Backends[:1], far.Backends[1:]
	if diff := cmp.Diff(fmt.Sprint(Service(plain)), fmt.Sprint(Service(far))); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkService(b *testing.B) {
	s := front("10.96.0.10")
	for i := range 8 {
		s.Backends = append(s.Backends, intent.Backend{Addr: netip.AddrFrom4([4]byte{10, 244, 9, byte(i)}), Port: 80})
	}
	for b.Loop() {
		Service(s)
	}
}
