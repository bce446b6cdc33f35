package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// message is a BGP message (RFC 4271 section 4.1).
func message(kind byte, body ...byte) []byte {
	m := append(bytes.Repeat([]byte{0xff}, 16), 0, 0, kind)
	m = append(m, body...)
	binary.BigEndian.PutUint16(m[16:], uint16(len(m)))
	return m
}

// router is a BGP peer that says what the test wants: an OPEN with that AS; then, once it hears a KEEPALIVE, it keeps the session for as long as nothing is
// put into say, and then says that and hangs up.
type router struct {
	as  atomic.Uint32
	say chan []byte
}

func (r *router) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go r.talk(c)
	}
}

func (r *router) talk(c net.Conn) {
	defer c.Close()
	as := r.as.Load()
	_, _ = c.Write(message(1, 4, byte(as>>8), byte(as), 0, 90, 192, 0, 2, 200, 0))
	heard := make(chan byte)
	go func() {
		defer close(heard)
		for head := make([]byte, 19); ; {
			if _, err := io.ReadFull(c, head); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint16(head[16:]))-19); err != nil {
				return
			}
			heard <- head[18]
		}
	}()
	stands := false
	for {
		select {
		case kind, more := <-heard:
			if !more {
				return
			}
			if kind == 4 && !stands {
				stands = true
				_, _ = c.Write(message(4))
			} else if kind == 1 {
				_, _ = c.Write(message(4))
			}
		case last := <-r.say:
			_, _ = c.Write(last)
			return
		}
	}
}

// TestBGPSpeaks: why a session isn't established, or ended, is in `show peers`, in one line of the log and in an event of the Node, in the RFCs' words.
func TestBGPSpeaks(t *testing.T) {
	l, ctx := start(t, lab.Config{Nodes: 2, Families: lab.IPv4Only, Hosts: []lab.HostConfig{{Name: "router", Segment: 0}}})
	at := l.Host("router").IPv4().String()
	if a := run(t, ctx, l, "kubectl", "annotate", "node", "n1", "kube-router.io/peer.ips="+at, "kube-router.io/peer.asns=64999"); a.code != 0 {
		t.Fatal(a.errs)
	}
	reason := func(says string) {
		t.Helper()
		eventually(t, func() error {
			a := run(t, ctx, l, "kubectl", "kuberouter", "peers", "--node", "n1", "-o", "json")
			var list struct {
				Items []struct{ Peer, State, Reason string }
			}
			if err := json.Unmarshal([]byte(a.out), &list); err != nil {
				return fmt.Errorf("%w: %+v", err, a)
			}
			for _, p := range list.Items {
				if p.Peer == at && (strings.Contains(p.Reason, says) || says == "up") && (p.State == "ESTABLISHED") == (says == "up") {
					return nil
				}
			}
			return fmt.Errorf("want %q of %s, have %+v", says, at, list.Items)
		})
	}
	told := func(line, event string) {
		t.Helper()
		eventually(t, func() error {
			if log := l.Node("n1").DaemonLog(); !strings.Contains(strings.ReplaceAll(log, `\"`, `'`), line) {
				return fmt.Errorf("the log lacks %q", line)
			}
			if a := run(t, ctx, l, "kubectl", "get", "events", "-A", "-o", `jsonpath={range .items[*]}{.type} {.reason} {.involvedObject.name} {.message}{"\n"}{end}`); !strings.Contains(a.out, event) {
				return fmt.Errorf("no event %q:\n%s%s", event, a.out, a.errs)
			}
			return nil
		})
	}
	reason("connection refused")
	told("BGP session doesn't come up", "Warning BGPSessionDown n1 BGP session with "+at+" (AS 64999) doesn't come up: connection refused")

	r := &router{say: make(chan []byte)}
	r.as.Store(64000)
	var listener net.Listener
	if err := l.Host("router").Do(func() (err error) { listener, err = net.Listen("tcp", ":179"); return err }); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go r.serve(listener)
	reason("wrong AS: the peer says 64000; NOTIFICATION sent: OPEN Message Error, Bad Peer AS (2/2)")

	r.as.Store(64999)
	reason("up")
	told(`msg="BGP session is up" peer=`+at, "Normal BGPSessionUp n1 BGP session with "+at+" (AS 64999) is up")
	text := "cable is moved"
	r.say <- message(3, append([]byte{6, 2, byte(len(text))}, text...)...)
	told(`reason="NOTIFICATION received: Cease, Administrative Shutdown (6/2): 'cable is moved'"`,
		`Warning BGPSessionDown n1 BGP session with `+at+` (AS 64999) is down: NOTIFICATION received: Cease, Administrative Shutdown (6/2): "cable is moved"`)
	reason("up") // it comes back by itself
	r.say <- nil
	told("the peer closed the connection without a NOTIFICATION", "is down: the peer closed the connection without a NOTIFICATION")
	if n := strings.Count(l.Node("n1").DaemonLog(), "BGP session is down"); n != 2 {
		t.Errorf("%d lines of sessions that went down, want 2", n)
	}

	// A password that only one end has: what comes without a signature is all that is seen of it.
	if a := run(t, ctx, l, "kubectl", "annotate", "node", "n1", "kube-router.io/peer.passwords=cGFzcw=="); a.code != 0 {
		t.Fatal(a.errs)
	}
	calling, hush := context.WithCancel(ctx)
	defer hush()
	go func() {
		for calling.Err() == nil {
			_ = l.Host("router").Do(func() error {
				c, err := net.DialTimeout("tcp", net.JoinHostPort(l.Node("n1").IPv4().String(), "179"), 300*time.Millisecond)
				if err == nil {
					c.Close()
				}
				return err
			})
		}
	}()
	reason("no answer to connections; now segments with a wrong TCP MD5 signature or without one have come since")
	hush()

	if err := l.Node("n2").StopDaemon(); err != nil { // between nodes
		t.Fatal(err)
	}
	told("BGP session is down", "Warning BGPSessionDown n1 BGP session with node n2, ")
	begun := time.Now()
	if err := l.Node("n2").StartDaemon(); err != nil {
		t.Fatal(err)
	}
	told("BGP session is up", "Normal BGPSessionUp n1 BGP session with node n2, ")
	t.Logf("the session between the nodes stands and was told of after %s", time.Since(begun))
}
