package nflog

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inSpace runs f in a network namespace of its own, on a thread that ends with it.
func inSpace(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("make a network namespace: %v", err)
			return
		}
		f()
	}()
	<-done
}

const rules = `table inet t {
	chain c {
		type filter hook output priority 0
		udp dport 9 limit rate 100/second log prefix "to a/web " group 100 snaplen 128 drop
	}
}
`

func TestReaderHearsDrops(t *testing.T) {
	inSpace(t, func() {
		for _, args := range [][]string{{"ip", "link", "set", "lo", "up"}, {"nft", "-f", "-"}} {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Stdin = strings.NewReader(rules)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v: %s", args, err, out)
			}
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		r := NewReader(fd, 100)
		heard := make(chan []Drop, 1000)
		r.Heard, r.Failed = func(list []Drop) { heard <- list }, func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		r.Lost = func(n uint64) { t.Errorf("lost %d", n) }
		go func() { _ = r.Run(t.Context()) }()
		var got []Drop
		for end := time.Now().Add(30 * time.Second); len(got) < 2; time.Sleep(5 * time.Millisecond) {
			for _, to := range []string{"127.0.0.1:9", "[::1]:9"} {
				if conn, failure := net.Dial("udp", to); failure == nil {
					_, _ = conn.Write([]byte("x"))
					_ = conn.Close()
				}
			}
			select {
			case list := <-heard:
				got = append(got, list...)
			default:
			}
			if time.Now().After(end) {
				t.Fatal("no drop was heard")
			}
		}
		for _, d := range got {
			if d.Prefix != "to a/web" || d.Protocol != 17 || d.DstPort != 9 || d.SrcPort == 0 || d.Src != d.Dst || !d.Src.IsLoopback() {
				t.Errorf("heard %+v", d)
			}
		}
		second := NewReader(fd, 100)
		if err := second.listen(t.Context()); err == nil || !strings.Contains(err.Error(), "another program listens") {
			t.Errorf("a second listener: %v", err)
		}
	})
}

func message(attrs ...any) []byte {
	var b []byte
	for i := 0; i < len(attrs); i += 2 {
		data := attrs[i+1].(string)
		b = binary.NativeEndian.AppendUint16(b, uint16(4+len(data)))
		b = binary.NativeEndian.AppendUint16(b, uint16(attrs[i].(int)))
		b = append(b, data...)
		for len(b)%4 > 0 {
			b = append(b, 0)
		}
	}
	return b
}

const tcp4 = "\x45\x00\x00\x28\x00\x00\x00\x00\x40\x06\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02\x0f\xa0\x00\x50"

func TestParse(t *testing.T) {
	d, ok := parse(message(attrPrefix, "from a/b \x00", attrPayload, tcp4))
	want := Drop{Prefix: "from a/b", Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Protocol: 6, SrcPort: 4000, DstPort: 80}
	if !ok || d != want {
		t.Errorf("%t %+v", ok, d)
	}
	later := strings.Replace(tcp4, "\x00\x00\x40\x06", "\x00\x10\x40\x06", 1) // not the first fragment: no ports
	if d, ok := parse(message(attrPayload, later)); !ok || d.DstPort != 0 {
		t.Errorf("a fragment: %t %+v", ok, d)
	}
}

// TestTellsWhatErrorsAreAbout: an ICMP error that says that there is no way is told as the packet that found none, whoever sent the error.
func TestTellsWhatErrorsAreAbout(t *testing.T) {
	head4 := "\x45\x00\x00\x38\x00\x00\x00\x00\x40\x01\x00\x00\xac\x1e\x00\x0b\x0a\x00\x00\x01\x03\x01\x00\x00\x00\x00\x00\x00"
	head6 := "\x60\x00\x00\x00\x00\x38\x3a\x40" + strings.Repeat("\x11", 32) + "\x01\x00\x00\x00\x00\x00\x00\x00"
	udp6 := "\x60\x00\x00\x00\x00\x08\x11\x40" + strings.Repeat("\x22", 16) + strings.Repeat("\x33", 16) + "\x0f\xa0\x00\x35\x00\x08\x00\x00"
	four := Drop{Prefix: "unreachable", Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Protocol: 6, SrcPort: 4000, DstPort: 80}
	if d, ok := parse(message(attrPrefix, "unreachable ", attrLink, "\x00\x00\x00\x00", attrPayload, head4+tcp4)); !ok || d != four {
		t.Errorf("IPv4: %t %+v", ok, d)
	}
	six := Drop{Prefix: "no route", Src: netip.MustParseAddr("2222:2222:2222:2222:2222:2222:2222:2222"), Dst: netip.MustParseAddr("3333:3333:3333:3333:3333:3333:3333:3333"),
		Protocol: 17, SrcPort: 4000, DstPort: 53}
	if d, ok := parse(message(attrPayload, head6+udp6, attrPrefix, "no route ")); !ok || d != six {
		t.Errorf("IPv6: %t %+v", ok, d)
	}
	if d, ok := parse(message(attrPrefix, "no route ", attrPayload, head4)); ok {
		t.Errorf("about nothing: %+v", d)
	}
	if d, ok := parse(message(attrPrefix, "to a/b ", attrPayload, head4+tcp4)); !ok || d.Protocol != 1 || d.ICMPCode != 1 {
		t.Errorf("an error that was dropped itself: %t %+v", ok, d)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message(attrPrefix, "to a/b", attrPayload, tcp4))
	f.Add(message(attrPrefix, "no route", attrPayload, tcp4+"12345678"+tcp4))
	f.Add(message(attrPayload, "\x60"+strings.Repeat("\x11", 60)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, ok := parse(b); ok && (!d.Src.IsValid() || d.Src.Is4() != d.Dst.Is4()) {
			t.Errorf("%+v", d)
		}
	})
}
