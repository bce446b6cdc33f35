//go:build boundaries

package boundaries

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kube-router/internal/lab"
)

// TestEngineHostPortWhosePodIsGone has a client that never falls silent send to a host port, with the firewall on and off.
// Once the pod is gone, who listens at that port of the node hears it.
func TestEngineHostPortWhosePodIsGone(t *testing.T) {
	for _, firewall := range []string{"true", "false"} {
		t.Run("firewall "+firewall, func(t *testing.T) {
			w := start(t, lab.Config{Nodes: 1, DaemonArgs: []string{"--run-firewall=" + firewall}})
			for round := range 2 { // the node's own listener of the first round goes before the second
				hostPortRound(t, w, round)
			}
		})
	}
}

const hostPort = 5053

func hostPortRound(t *testing.T, w *world, round int) {
	t.Helper()
	// Another name each time: the object of the one before may linger, and would be changed, not made.
	pod := labelled(fmt.Sprint("hp-", round), "hp", "n1", fmt.Sprintf(", {containerPort: 8080, hostPort: %d, protocol: UDP}", hostPort))
	applied(t, w, pod)
	n1 := w.Node("n1")
	senders := map[string]*steady{}
	for i, at := range []netip.Addr{n1.IPv4(), n1.IPv6()} {
		s := steadily(t, w.Outside(), netip.AddrPortFrom(at, hostPort))
		defer s.stop()
		senders[[]string{"IPv4", "IPv6"}[i]] = s
	}
	for family, s := range senders {
		judge(t, fmt.Sprintf("round %d, %s: the pod answers", round, family), s.answeredWithin(15*time.Second))
	}
	if err := w.Delete(w.ctx, pod); err != nil {
		t.Fatal(err)
	}
	for i, family := range []string{"IPv4", "IPv6"} {
		judge(t, fmt.Sprintf("round %d, %s: the node's own program hears the client", round, family), heardAt(n1.Host, []string{"udp4", "udp6"}[i], 20*time.Second))
	}
}

// steady sends from one socket every 50 ms, and counts answers.
type steady struct {
	conn *net.UDPConn
	done chan struct{}
}

func steadily(t *testing.T, from *lab.Host, to netip.AddrPort) *steady {
	t.Helper()
	s := &steady{done: make(chan struct{})}
	err := from.Do(func() (err error) {
		s.conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			select {
			case <-s.done:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = s.conn.Write([]byte("still here")) // nobody may be there for a moment
			}
		}
	}()
	return s
}

func (s *steady) stop() {
	close(s.done)
	s.conn.Close()
}

func (s *steady) answeredWithin(limit time.Duration) string {
	end := time.Now().Add(limit)
	for buffer := make([]byte, 2000); time.Now().Before(end); {
		_ = s.conn.SetReadDeadline(end)
		n, err := s.conn.Read(buffer)
		if err == nil && n > 0 {
			return ""
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "no answer within " + limit.String()
}

// heardAt listens at the host port on the node.
func heardAt(h *lab.Host, network string, limit time.Duration) string {
	var conn *net.UDPConn
	err := h.Do(func() (err error) {
		conn, err = net.ListenUDP(network, &net.UDPAddr{Port: hostPort})
		return err
	})
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err.Error()
	}
	buffer := make([]byte, 2000)
	n, err := conn.Read(buffer)
	switch {
	case err != nil:
		return err.Error()
	case !strings.HasPrefix(string(buffer[:n]), "still here"):
		return fmt.Sprintf("heard %q", buffer[:n])
	}
	return ""
}
