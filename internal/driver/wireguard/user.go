package wireguard

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"kube-router/internal/row"
)

// socketName is the process's socket in its directory; lockName is locked by it while it lives, and has its number.
const (
	socketName = "wireguard.sock"
	lockName   = "wireguard.lock"
)

// patience ends a question that the process never answers.
const patience = 5 * time.Second

// user is WireGuard in a process, over the text protocol on its socket.
type user struct{ dir string }

func (u user) ask(question func(io.Writer) error) ([][2]string, error) {
	conn, err := net.DialTimeout("unix", filepath.Join(u.dir, socketName), patience)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
		return nil, fmt.Errorf("the process of WireGuard doesn't run: %w", os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the process of WireGuard: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	w := bufio.NewWriter(conn)
	if err := errors.Join(question(w), w.Flush()); err != nil {
		return nil, fmt.Errorf("ask the process of WireGuard: %w", err)
	}
	var answer [][2]string
	for s := bufio.NewScanner(conn); s.Scan(); {
		key, value, ok := strings.Cut(s.Text(), "=")
		switch {
		case key == "errno" && value == "0":
			return answer, nil
		case key == "errno":
			return nil, fmt.Errorf("the process of WireGuard refuses: errno %s", value)
		case ok:
			answer = append(answer, [2]string{key, value})
		}
	}
	return nil, errors.New("the process of WireGuard gave no whole answer")
}

func (u user) device() (*wgtypes.Device, error) {
	answer, err := u.ask(func(w io.Writer) error {
		_, err := io.WriteString(w, "get=1\n\n")
		return err
	})
	if err != nil {
		return nil, err
	}
	d := &wgtypes.Device{Name: row.WireName, Type: wgtypes.Userspace}
	for _, line := range answer {
		if err := take(d, line[0], line[1]); err != nil {
			return nil, fmt.Errorf("the process of WireGuard says %s wrongly: %w", line[0], err)
		}
	}
	return d, nil
}

// take puts one line of an answer into the device. A line about a peer is about the last one that was named.
func take(d *wgtypes.Device, key, value string) (err error) {
	if key == "public_key" {
		d.Peers = append(d.Peers, wgtypes.Peer{})
	}
	p := &wgtypes.Peer{}
	if len(d.Peers) > 0 {
		p = &d.Peers[len(d.Peers)-1]
	}
	number := func() (n int64) {
		n, err = strconv.ParseInt(value, 10, 64)
		return n
	}
	switch key {
	case "private_key":
		d.PrivateKey, err = unhex(value)
		d.PublicKey = d.PrivateKey.PublicKey()
	case "listen_port":
		d.ListenPort = int(number())
	case "public_key":
		p.PublicKey, err = unhex(value)
	case "endpoint":
		var a netip.AddrPort
		a, err = netip.ParseAddrPort(value)
		p.Endpoint = net.UDPAddrFromAddrPort(a)
	case "last_handshake_time_sec":
		if n := number(); n > 0 {
			p.LastHandshakeTime = time.Unix(n, 0)
		}
	case "tx_bytes":
		p.TransmitBytes = number()
	case "rx_bytes":
		p.ReceiveBytes = number()
	case "persistent_keepalive_interval":
		p.PersistentKeepaliveInterval = time.Duration(number()) * time.Second
	case "allowed_ip":
		var n *net.IPNet
		if _, n, err = net.ParseCIDR(value); err == nil {
			p.AllowedIPs = append(p.AllowedIPs, *n)
		}
	}
	return err
}

func unhex(s string) (wgtypes.Key, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != wgtypes.KeyLen {
		return wgtypes.Key{}, errors.New("no key")
	}
	return wgtypes.Key(b), nil
}

func (u user) configure(c wgtypes.Config) error {
	_, err := u.ask(func(w io.Writer) error {
		fmt.Fprintln(w, "set=1")
		if c.PrivateKey != nil {
			fmt.Fprintf(w, "private_key=%x\n", c.PrivateKey[:])
		}
		if c.ListenPort != nil {
			fmt.Fprintf(w, "listen_port=%d\n", *c.ListenPort)
		}
		if c.ReplacePeers {
			fmt.Fprintln(w, "replace_peers=true")
		}
		for _, p := range c.Peers {
			tell(w, p)
		}
		_, err := fmt.Fprintln(w)
		return err
	})
	return err
}

func tell(w io.Writer, p wgtypes.PeerConfig) {
	fmt.Fprintf(w, "public_key=%x\n", p.PublicKey[:])
	if p.Remove {
		fmt.Fprintln(w, "remove=true")
	}
	if p.UpdateOnly {
		fmt.Fprintln(w, "update_only=true")
	}
	if p.Endpoint != nil {
		fmt.Fprintf(w, "endpoint=%s\n", p.Endpoint)
	}
	if p.PersistentKeepaliveInterval != nil {
		fmt.Fprintf(w, "persistent_keepalive_interval=%d\n", int(p.PersistentKeepaliveInterval.Seconds()))
	}
	for _, n := range p.AllowedIPs {
		fmt.Fprintf(w, "allowed_ip=%s\n", n.String())
	}
}
