package probe_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"kube-router/internal/lab/netns"
	"kube-router/internal/lab/podserver"
	"kube-router/internal/lab/probe"
)

// pair makes two namespaces with a cable between them and a pod server in the second.
func pair(t *testing.T) (client *netns.Space, server *podserver.Server) {
	t.Helper()
	var ends []netns.End
	for _, addrs := range [][]netip.Prefix{
		{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")},
		{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")},
	} {
		s, err := netns.New()
		if err == nil {
			err = s.Prepare()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		ends = append(ends, netns.End{Space: s, Name: "eth0", Addrs: addrs})
	}
	if err := netns.Cable(1500, ends[0], ends[1]); err != nil {
		t.Fatal(err)
	}
	err := ends[1].Space.Do(func() (err error) {
		server, err = podserver.Listen(podserver.Config{Pod: "test/pod", Node: "n1", TCP: []uint16{8080}, UDP: []uint16{8080}, SCTP: []uint16{8080}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return ends[0].Space, server
}

func ask(t *testing.T, in *netns.Space, q probe.Request) (r probe.Result) {
	t.Helper()
	if err := in.Do(func() error { r = probe.Once(q); return nil }); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhoAnswersAndWhatItSaw(t *testing.T) {
	client, _ := pair(t)
	for _, proto := range []string{"tcp", "udp", "sctp"} {
		for from, to := range map[string]string{"192.0.2.1": "192.0.2.2:8080", "2001:db8::1": "[2001:db8::2]:8080"} {
			r := ask(t, client, probe.Request{To: netip.MustParseAddrPort(to), Proto: proto, Timeout: 3 * time.Second})
			if r.Class == probe.Unsupported && proto == "sctp" {
				continue // this kernel has no SCTP; the guest's has
			}
			want := podserver.Answer{Pod: "test/pod", Node: "n1", Proto: proto, Client: netip.AddrPortFrom(netip.MustParseAddr(from), r.Client.Port()), Local: netip.MustParseAddrPort(to)}
			if diff := cmp.Diff(want, r.Answer, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" || !r.OK() {
				t.Errorf("%s to %s: %v\n%s", proto, to, r, diff)
			}
		}
	}
}

func TestFailuresHaveAClass(t *testing.T) {
	client, _ := pair(t)
	for _, c := range []struct {
		proto, to string
		want      probe.Class
	}{
		{"tcp", "192.0.2.2:1", probe.Refused},
		{"udp", "192.0.2.2:1", probe.Refused},
		{"tcp", "[2001:db8::2]:1", probe.Refused},
		{"tcp", "198.51.100.1:1", probe.Unreachable},
		{"tcp", "192.0.2.3:1", probe.Timeout}, // nobody there, and ARP takes longer than we wait
	} {
		limit := 5 * time.Second // a neighbour that is asked for once in vain is asked for again after a second
		if c.want == probe.Timeout {
			limit = 500 * time.Millisecond
		}
		r := ask(t, client, probe.Request{To: netip.MustParseAddrPort(c.to), Proto: c.proto, Timeout: limit})
		if r.Class != c.want {
			t.Errorf("%s to %s: %q (%s), want %q", c.proto, c.to, r.Class, r.Err, c.want)
		}
	}
}

// Signals, of which the Go runtime sends its threads many, end no probe before its time. SCTP is judged in the guest.
func TestSignalsEndNoProbe(t *testing.T) {
	client, _ := pair(t)
	for _, proto := range []string{"tcp", "udp", "sctp"} {
		stop, done := make(chan struct{}), make(chan struct{})
		var r probe.Result
		err := client.Do(func() error {
			tid := unix.Gettid()
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
						_ = unix.Tgkill(unix.Getpid(), tid, unix.SIGURG) // the thread may have ended
					}
				}
			}()
			r = probe.Once(probe.Request{To: netip.MustParseAddrPort("192.0.2.3:1"), Proto: proto, Timeout: 300 * time.Millisecond})
			return nil
		})
		close(stop)
		<-done
		if err != nil || r.Class != probe.Timeout && r.Class != probe.Unsupported {
			t.Errorf("%s to nobody: %v, %v, want a time-out", proto, r, err)
		}
	}
}

func TestManyAndLoad(t *testing.T) {
	client, _ := pair(t)
	q := probe.Request{To: netip.MustParseAddrPort("192.0.2.2:8080")}
	tally, err := probe.Many(client.Do, q, 200, 4)
	if err != nil || tally.ByPod["test/pod"] != 200 || !tally.OK() {
		t.Errorf("many: %v, %v", tally, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	tally, err = probe.Load(ctx, client.Do, q, 300, 4)
	if err != nil || tally.Total < 200 || tally.Total > 310 || !tally.OK() {
		t.Errorf("load of 300/s for 1 s: total %d, %v, %v", tally.Total, tally, err)
	}
}

func TestDrainLetsALineFinish(t *testing.T) {
	client, server := pair(t)
	q := probe.Request{To: netip.MustParseAddrPort("192.0.2.2:8080")}
	line, err := probe.Open(client.Do, q)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	drained := make(chan struct{})
	go func() { server.Drain(ctx); close(drained) }()
	time.Sleep(50 * time.Millisecond)
	if r := ask(t, client, q); r.Class != probe.Refused {
		t.Errorf("new connection while draining: %v, want refused", r)
	}
	if err := line.Beat(); err != nil {
		t.Errorf("echo while draining: %v", err)
	}
	line.Close()
	select {
	case <-drained:
	case <-ctx.Done():
		t.Error("drain still waits after the last connection ended")
	}
}

func TestBytes(t *testing.T) {
	client, _ := pair(t)
	r := ask(t, client, probe.Request{To: netip.MustParseAddrPort("192.0.2.2:8080"), Path: "/bytes?n=1000000", Timeout: 3 * time.Second})
	if r.Bytes != 1000000 || !r.OK() {
		t.Errorf("got %d bytes: %v", r.Bytes, r)
	}
}
