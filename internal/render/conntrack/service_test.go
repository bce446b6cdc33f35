package conntrack

import (
	"net/netip"
	"testing"

	"kube-router/internal/intent"
)

func TestService(t *testing.T) {
	b := func(s string) intent.Backend {
		a := netip.MustParseAddrPort(s)
		return intent.Backend{Addr: a.Addr(), Port: a.Port()}
	}
	s := &intent.Service{
		Front:    intent.Front{Addr: netip.MustParseAddr("fd00:96::a"), Port: 53, Protocol: 17},
		Backends: []intent.Backend{b("[fd00:244::6]:53"), b("[fd00:244::5]:53")},
		Near:     []intent.Backend{b("[fd00:244::5]:53")},
		Keep:     []intent.Backend{b("[fd00:244::7]:53")},
	}
	rows := Service(s)
	want := "udp [fd00:96::a]:53 flows only to [fd00:244::5]:53 [fd00:244::6]:53 [fd00:244::7]:53"
	if len(rows) != 1 || rows[0].String() != want {
		t.Errorf("got %v; want %s", rows, want)
	}
	s.Far = true
	s.Keep = append(s.Keep, intent.Backend{Addr: netip.MustParseAddr("fd00:244::8"), Port: 53, Local: true})
	want += " [fd00:244::8]:53; from outside only to [fd00:244::5]:53 [fd00:244::8]:53"
	if rows := Service(s); len(rows) != 1 || rows[0].String() != want {
		t.Errorf("got %v; want %s", rows, want)
	}
	s.KeepSource = true
	if rows := Service(s); len(rows) != 1 || rows[0].String() != want+", not masqueraded" {
		t.Errorf("got %v; want %s, not masqueraded", rows, want)
	}
	s.Masquerade = true // everybody is masqueraded
	if rows := Service(s); len(rows) != 1 || rows[0].String() != want {
		t.Errorf("got %v; want %s", rows, want)
	}
	s.Protocol = 132
	if rows := Service(s); len(rows) != 1 || rows[0].Far {
		t.Errorf("an association of SCTP ends: %v", rows)
	}
	s.Protocol = 6
	if rows := Service(s); rows != nil {
		t.Errorf("TCP has %v; want none", rows)
	}
}
