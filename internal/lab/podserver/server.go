// Package podserver is the program in every pod of the lab: it answers over HTTP, UDP and SCTP with the pod's name and the addresses
// that it saw, so that whoever asks can tell who answered and what the network did to the packet. It runs in the lab's own process,
// on sockets opened in the pod's network namespace, or as a process of its own.
package podserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Answer is what a pod says to whoever asks.
type Answer struct {
	Pod    string         `json:"pod"`    // namespace/name
	Node   string         `json:"node"`   // where it runs
	Proto  string         `json:"proto"`  // tcp, udp or sctp
	Client netip.AddrPort `json:"client"` // the source address that the pod saw
	Local  netip.AddrPort `json:"local"`  // the destination address that the pod saw; of UDP only the address
}

// Config says who the server is and where it listens.
type Config struct {
	Pod  string   // namespace/name
	Node string   // the node's name
	TCP  []uint16 // ports for HTTP
	UDP  []uint16
	SCTP []uint16 // left out where the kernel has no SCTP
	// Greet are TCP ports that send the pod's name to whoever connects, and nothing else.
	Greet []uint16
}

// Server is a running pod server.
type Server struct {
	config Config
	http   *http.Server
	mu     sync.Mutex
	open   []io.Closer // UDP sockets and listeners
	conns  map[net.Conn]bool
	echoes sync.WaitGroup
}

// Listen opens every socket in the network namespace of the calling thread and starts to answer.
func Listen(config Config) (*Server, error) {
	s := &Server{config: config, conns: map[net.Conn]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/", s.who)
	mux.HandleFunc("/bytes", bytes)
	mux.HandleFunc("/slow", s.slow)
	mux.HandleFunc("/echo", s.echo)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}}
	if err := s.listen(); err != nil {
		s.Close()
		return nil, fmt.Errorf("server of pod %s: %w", config.Pod, err)
	}
	return s, nil
}

func (s *Server) listen() error {
	for _, port := range s.config.TCP {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false) // what is measured is plain TCP
		l, err := lc.Listen(context.Background(), "tcp", net.JoinHostPort("", strconv.Itoa(int(port))))
		if err != nil {
			return err
		}
		s.open = append(s.open, l)
		go s.http.Serve(l)
	}
	for _, port := range s.config.UDP {
		for _, network := range []string{"udp4", "udp6"} {
			if err := s.udp(network, port); err != nil {
				return err
			}
		}
	}
	for _, port := range s.config.Greet {
		if err := s.greet(port); err != nil {
			return err
		}
	}
	for _, port := range s.config.SCTP {
		l, err := sctpListen(port)
		if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT) {
			continue
		}
		if err != nil {
			return err
		}
		s.open = append(s.open, l)
		go s.sctp(l)
	}
	return nil
}

// Drain takes no more connections and returns when those that are open have ended, or are cut at the context's end.
func (s *Server) Drain(ctx context.Context) {
	s.http.Shutdown(ctx)
	done := make(chan struct{})
	go func() { s.echoes.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
	s.Close()
}

// Close cuts everything at once.
func (s *Server) Close() {
	s.http.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		c.Close()
	}
	for c := range s.conns {
		c.Close()
	}
}

type connKey struct{}

func addrPort(a net.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func (s *Server) answer(proto string, client, local netip.AddrPort) []byte {
	text, err := json.Marshal(Answer{Pod: s.config.Pod, Node: s.config.Node, Proto: proto, Client: client, Local: local})
	if err != nil {
		return nil
	}
	return append(text, '\n')
}

func (s *Server) who(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(net.Conn)
	w.Header().Set("Content-Type", "application/json")
	w.Write(s.answer("tcp", addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())))
}

// slow answers after the time that ?d= says, to be caught in the act by a drain.
func (s *Server) slow(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Query().Get("d"))
	if err != nil {
		http.Error(w, "want ?d=DURATION", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(d):
		s.who(w, r)
	case <-r.Context().Done():
	}
}

// bytes sends as many bytes as ?n= says, for transfers larger than a packet.
func bytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 0 {
		http.Error(w, "want ?n=NUMBER", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(n))
	for block := slices.Repeat([]byte("kube-router lab "), 1024); n > 0; {
		part := min(n, len(block))
		if _, err := w.Write(block[:part]); err != nil {
			return
		}
		n -= part
	}
}

// echo turns the connection into one that lives as long as both want: what comes is sent back.
func (s *Server) echo(w http.ResponseWriter, r *http.Request) {
	who := r.Context().Value(connKey{}).(net.Conn)
	line := s.answer("tcp", addrPort(who.RemoteAddr()), addrPort(who.LocalAddr()))
	c, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	s.mu.Lock()
	s.conns[c] = true
	s.echoes.Add(1)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		c.Close()
		s.echoes.Done()
	}()
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n%s", line)
	io.Copy(c, buffered)
}
