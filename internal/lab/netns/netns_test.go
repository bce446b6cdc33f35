package netns_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kube-router/internal/lab/netns"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "lab" && os.Args[2] == "hold" {
		if netns.Hold(os.Args[3], os.Args[4]) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, name string) *netns.Machine {
	t.Helper()
	m, err := netns.StartMachine(name, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func run(t *testing.T, m *netns.Machine, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := m.Command(ctx, nil, "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestMachineHasItsOwnWorld(t *testing.T) {
	m := start(t, "alpha")
	for script, want := range map[string]string{
		"hostname": "alpha",
		"cat /proc/1/comm >/dev/null && ls -d /sys/class/net/lo /sys/class/net/eth0 2>/dev/null || true": "/sys/class/net/lo",
		"echo 1 > /proc/sys/net/ipv4/ip_forward && sysctl -n net.ipv4.ip_forward":                        "1",
		"echo x > /etc/cni/net.d/10-x.conflist && ls /etc/cni/net.d":                                     "10-x.conflist",
		"mkdir -p /var/lib/cni && ls -d /var/lib/cni":                                                    "/var/lib/cni",
		"touch /run/mine && ls /run":                                                                     "lock\nmine\nnetns",
		"echo 77 kr >> /etc/krlab-probe && cat /etc/krlab-probe":                                         "77 kr",
	} {
		if got := run(t, m, script); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	for _, path := range []string{"/etc/krlab-probe", "/etc/cni/net.d/10-x.conflist", "/run/mine"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s reached the real file system", path)
		}
	}
}

func TestMachinesTalk(t *testing.T) {
	a, b := start(t, "a"), start(t, "b")
	err := netns.Cable(1400,
		netns.End{Space: a.Space, Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}},
		netns.End{Space: b.Space, Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"192.0.2.2:7", "[2001:db8::2]:7"} {
		if err := talk(a, b, addr); err != nil {
			t.Error(err)
		}
	}
	if got := run(t, b, "cat /sys/class/net/eth0/mtu"); got != "1400" {
		t.Errorf("MTU %s, want 1400", got)
	}
}

// talk connects from a to an address that b listens at.
func talk(a, b *netns.Machine, addr string) error {
	var l net.Listener
	err := b.Do(func() (err error) { l, err = net.Listen("tcp", addr); return err })
	if err != nil {
		return err
	}
	defer l.Close()
	return a.Do(func() error {
		c, err := net.DialTimeout("tcp", addr, 2*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func TestCloseEndsEveryProcess(t *testing.T) {
	m := start(t, "gamma")
	cmd := m.Command(context.Background(), nil, "sh", "-c", "setsid sleep 4242 & wait")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go cmd.Wait()
	m.Close()
	if pids := commands(t, "sleep\x004242"); len(pids) > 0 {
		t.Errorf("still running after Close: %v", pids)
	}
}

func commands(t *testing.T, want string) (pids []string) {
	t.Helper()
	procs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		if line, err := os.ReadFile("/proc/" + p.Name() + "/cmdline"); err == nil && strings.Contains(string(line), want) {
			pids = append(pids, fmt.Sprintf("%s (%s)", p.Name(), line))
		}
	}
	return pids
}

func TestSpacePinnedInsideAMachine(t *testing.T) {
	m := start(t, "delta")
	s, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := m.Enter(nil, func() error { return s.Pin("/run/netns/pod") }); err != nil {
		t.Fatal(err)
	}
	if got := run(t, m, "ip netns exec pod ls -d /sys/class/net/lo"); got != "/sys/class/net/lo" {
		t.Errorf("links in the pinned namespace: %q", got)
	}
	if err := m.Enter(nil, func() error { return netns.Unpin("/run/netns/pod") }); err != nil {
		t.Fatal(err)
	}
}

// TestMachineBesideAnothersPins: a mount namespace of its own has copies of others' pins, some of which nobody can reach by
// name: their directory lies below another mount.
func TestMachineBesideAnothersPins(t *testing.T) {
	err := inPrivateMounts(func() error {
		dir := t.TempDir()
		s, err := netns.New()
		if err != nil {
			return err
		}
		defer s.Close()
		if err := s.Pin(dir + "/krlab-other-n1"); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			return err
		}
		m, err := netns.StartMachine("beside", t.TempDir())
		if err != nil {
			return err
		}
		return m.Close()
	})
	if err != nil {
		t.Error(err)
	}
}

// inPrivateMounts runs f on a thread with mounts of its own, which ends with it.
func inPrivateMounts(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}
