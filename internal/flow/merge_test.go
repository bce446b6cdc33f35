package flow

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// sight is what a node saw of a connection.
func sight(node string, at time.Duration, src, front, dst, seen string, change func(*Flow)) Record {
	parse := func(text string) (p netip.AddrPort) {
		if text != "" {
			p = netip.MustParseAddrPort(text)
		}
		return p
	}
	f := Flow{Time: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC).Add(at), ID: 7, Protocol: 6, Src: parse(src), Front: parse(front), Dst: parse(dst), Seen: parse(seen), Source: &Owner{}, Dest: &Owner{}}
	if strings.HasPrefix(src, "10.1.") {
		f.Source = &Owner{Namespace: "a", Pod: "client", Labels: map[string]string{"app": "x"}}
	}
	if strings.HasPrefix(dst, "10.2.") {
		f.Dest = &Owner{Namespace: "shop", Pod: "web"}
	}
	if front != "" {
		f.Service = &Service{"shop", "web", "http"}
	}
	if change != nil {
		change(&f)
	}
	r := f.Record(node)
	var back Record // as it comes from a node
	if text, err := json.Marshal(r); err != nil || json.Unmarshal(text, &back) != nil {
		panic(err)
	}
	return back
}

func here(f *Flow)               { f.Direction = Ingress }
func away(f *Flow)               { f.Direction = Egress }
func refuse(f *Flow)             { f.Direction, f.Reason, f.Times = Ingress, DefaultDeny, 1 }
func always(_, _ time.Time) bool { return true }

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		what  string
		parts []Record
		want  []string
	}{
		{"a Service and both ends", []Record{
			sight("n1", 0, "10.1.0.1:5000", "10.96.0.1:80", "10.2.0.1:8080", "", away),
			sight("n2", 20*time.Millisecond, "10.1.0.1:5000", "", "10.2.0.1:8080", "", here),
		}, []string{"a/client:5000 -> shop/web:8080 FORWARDED (TCP) by Service shop/web at 10.96.0.1:80"}},
		{"the destination refuses", []Record{
			sight("n2", -time.Second, "10.1.0.1:5000", "", "10.2.0.1:8080", "", refuse),
			sight("n1", 0, "10.1.0.1:5000", "10.96.0.1:80", "10.2.0.1:8080", "", away),
		}, []string{"a/client:5000 -> shop/web:8080 DROPPED (TCP) by Service shop/web at 10.96.0.1:80; refused: default deny"}},
		{"a node port and another's pod, masqueraded; the middle one comes last", []Record{
			sight("n1", 0, "10.1.0.1:5000", "", "192.0.2.2:30080", "", away),
			sight("n3", 0, "192.0.2.2:40000", "", "10.2.0.1:8080", "", here),
			sight("n2", 0, "10.1.0.1:5000", "192.0.2.2:30080", "10.2.0.1:8080", "192.0.2.2:40000", nil),
		}, []string{"a/client:5000 -> shop/web:8080 FORWARDED (TCP) by Service shop/web at 192.0.2.2:30080"}},
		{"out by a gateway", []Record{
			sight("n1", 0, "10.1.0.1:5000", "", "198.51.100.1:443", "", away),
			sight("n2", 0, "10.1.0.1:5000", "", "198.51.100.1:443", "203.0.113.9:5000", nil),
		}, []string{"a/client:5000 -> 198.51.100.1:443 (world) FORWARDED (TCP)"}},
		{"one tuple again on one node is another flow", []Record{
			sight("n1", 0, "10.1.0.1:5000", "", "10.2.0.1:8080", "", away), sight("n1", time.Second, "10.1.0.1:5000", "", "10.2.0.1:8080", "", away),
		}, []string{"FORWARDED", "FORWARDED"}},
		{"too long after", []Record{
			sight("n1", 0, "10.1.0.1:5000", "", "10.2.0.1:8080", "", away), sight("n2", 2*apart, "10.1.0.1:5000", "", "10.2.0.1:8080", "", here),
		}, []string{"FORWARDED", "FORWARDED"}},
		{"deny, allow, deny on one tuple are three", []Record{
			sight("n2", 0, "10.1.0.1:5000", "", "10.2.0.1:8080", "", refuse), sight("n2", time.Second, "10.1.0.1:5000", "", "10.2.0.1:8080", "", here),
			sight("n2", 2*time.Second, "10.1.0.1:5000", "", "10.2.0.1:8080", "", refuse),
		}, []string{"DROPPED", "FORWARDED", "DROPPED"}},
	} {
		m := NewMerge()
		for _, r := range c.parts {
			if err := m.Add(r, time.Unix(0, 0)); err != nil {
				t.Fatal(err)
			}
		}
		list := m.Take(always)
		if len(list) != len(c.want) {
			t.Errorf("%s: %d flows, want %d", c.what, len(list), len(c.want))
			continue
		}
		for i, r := range list {
			if !strings.Contains(r.Line(true), c.want[i]) {
				t.Errorf("%s: %s\nlacks %s", c.what, r.Line(true), c.want[i])
			}
		}
		if more := m.Take(always); len(more) != 0 {
			t.Errorf("%s: told twice: %d", c.what, len(more))
		}
	}
}

// TestMergeLate: a part that comes when its flow has been told changes only a verdict, and what is old is forgotten.
func TestMergeLate(t *testing.T) {
	m := NewMerge()
	add := func(r Record) {
		t.Helper()
		if err := m.Add(r, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	add(sight("n1", 0, "10.1.0.1:5000", "10.96.0.1:80", "10.2.0.1:8080", "", away))
	if n := len(m.Take(always)); n != 1 {
		t.Fatal(n)
	}
	add(sight("n3", 0, "10.1.0.1:5000", "", "10.2.0.1:8080", "", nil))
	if list := m.Take(always); len(list) != 0 {
		t.Errorf("nothing new: %s", list[0].Line(true))
	}
	add(sight("n2", 0, "10.1.0.1:5000", "", "10.2.0.1:8080", "", refuse))
	if list := m.Take(always); len(list) != 1 || list[0].Flow.Verdict != Dropped || list[0].Flow.Service == nil || len(list[0].Own.SeenBy) != 3 {
		t.Errorf("it was ended: %+v", list)
	}
	add(sight("n1", time.Hour, "10.1.0.1:1", "", "10.2.0.1:2", "", away))
	if m.Take(always); len(m.list) != 1 || len(m.at) != 1 {
		t.Errorf("%d flows by %d addresses are kept", len(m.list), len(m.at))
	}
}

// TestPartsMatch: what a node is asked for never leaves out a part of what matches; the identifier finds its flow alone.
func TestPartsMatch(t *testing.T) {
	source := Flow{Source: &Owner{Pod: "c", Namespace: "a", Here: true}, Dest: &Owner{Pod: "w", Namespace: "shop"}, Service: &Service{"shop", "web", ""}, Direction: Egress,
		Protocol: 6, Src: netip.MustParseAddrPort("10.1.0.1:5000"), Front: netip.MustParseAddrPort("10.96.0.1:80"), Dst: netip.MustParseAddrPort("10.2.0.1:8080"), Seen: netip.MustParseAddrPort("192.0.2.1:9")}
	dest := Flow{Source: &Owner{Node: "n1"}, Dest: &Owner{Pod: "w", Namespace: "shop", Here: true}, Direction: Ingress, Reason: DefaultDeny,
		Protocol: 6, Src: source.Seen, Dst: source.Dst}
	for _, terms := range []string{"from-pod=a/c verdict=DROPPED", "pod=a/c", "to-service=shop/web verdict=DROPPED", "port=80 reason=deny", "to-pod=shop/w", "from-ip=10.1.0.0/16", "to-ip=10.96.0.1",
		"traffic-direction=ingress namespace=a", "verdict=FORWARDED"} {
		q, err := NewQuestion(append(strings.Fields(terms), "part=true"), time.Time{})
		if err != nil || !q.Filter.Matches(&source) || !q.Filter.Matches(&dest) {
			t.Errorf("%s: %v, source %t, destination %t", terms, err, q.Filter.Matches(&source), q.Filter.Matches(&dest))
		}
	}
	q, err := NewQuestion([]string{"to-pod=x/y", "part=true"}, time.Time{})
	if err != nil || q.Filter.Matches(&source) || q.Filter.Matches(&dest) {
		t.Errorf("another server: %v", err)
	}
	q, err = NewQuestion([]string{"id=" + source.uuid()}, time.Time{})
	if err != nil || !q.Filter.Matches(&source) || q.Filter.Matches(&dest) {
		t.Errorf("identifier: %v", err)
	}
}
