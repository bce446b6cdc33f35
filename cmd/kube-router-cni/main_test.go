package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"kube-router/internal/model"
	"kube-router/internal/podlink"
)

// daemon answers with what f says, and keeps what it was asked. The first refusals connections are cut.
func daemon(t *testing.T, cuts int, f func(model.AttachRequest) string) (string, *[]model.AttachRequest) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var asked []model.AttachRequest
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if cuts--; cuts >= 0 {
				conn.Close()
				continue
			}
			var r model.AttachRequest
			_ = json.NewDecoder(conn).Decode(&r)
			asked = append(asked, r)
			_ = json.NewEncoder(conn).Encode(model.AttachReply{Error: f(r)})
			conn.Close()
		}
	}()
	return path, &asked
}

func well(model.AttachRequest) string { return "" }

// namespace makes a network namespace of the test's own and returns its path. It hears router advertisements, as those that runtimes make.
func namespace(t *testing.T) string {
	t.Helper()
	made, done := make(chan error), make(chan struct{})
	var path string
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine, and the namespace with it
		err := unix.Unshare(unix.CLONE_NEWNET)
		path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		made <- errors.Join(err, os.WriteFile(acceptRA, []byte("1"), 0o644))
		<-done
	}()
	if err := <-made; err != nil {
		t.Fatalf("make a network namespace (root is needed): %v", err)
	}
	t.Cleanup(func() { close(done) })
	return path
}

const acceptRA = "/proc/sys/net/ipv6/conf/default/accept_ra"

func args(socket string, more ...string) *skel.CmdArgs {
	text := `{"cniVersion":"1.1.0","name":"n","type":"kube-router-cni","timeout":1,"socket":"` + socket + `",
		"prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"kube-bridge","mac":"02:00:00:00:00:01"},
		{"name":"veth1","mac":"02:00:00:00:00:02"},{"name":"net1","mac":"02:00:00:00:00:04","sandbox":"/run/netns/p"},
		{"name":"eth0","mac":"02:00:00:00:00:03","sandbox":"/run/netns/p"}],"ips":[{"address":"10.244.1.5/24"},{"address":"fd00::5/64"}]}}`
	return &skel.CmdArgs{
		ContainerID: "c1", Netns: "/run/netns/p", IfName: "eth0", StdinData: []byte(text),
		Args: strings.Join(append([]string{"IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=web;K8S_POD_UID=u1"}, more...), ";"),
	}
}

func TestAddTellsThePod(t *testing.T) {
	socket, asked := daemon(t, 2, well) // a daemon that is being replaced hangs up
	a := args(socket)
	a.Netns = namespace(t)
	if err := add(a); err != nil {
		t.Fatal(err)
	}
	if err := podlink.Within(a.Netns, func() error {
		b, err := os.ReadFile(acceptRA)
		if string(b) != "0\n" {
			t.Errorf("in the pod accept_ra is %q", b)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	(*asked)[0].Attachment.Netns = "/run/netns/p"
	if (*asked)[0].Attachment.Cookie == 0 {
		t.Error("the daemon isn't told the cookie of the pod's network namespace")
	}
	(*asked)[0].Attachment.Cookie = 0
	got, err := json.Marshal(*asked)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"verb":"ADD","attachment":{"container":"c1","ifname":"eth0","netns":"/run/netns/p",` +
		`"pod":{"Namespace":"a","Name":"web"},"uid":"u1","addrs":["10.244.1.5","fd00::5"],"port":"veth1","mac":"02:00:00:00:00:03"}}]`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}

func in(a *skel.CmdArgs, netns string) *skel.CmdArgs {
	a.Netns = netns
	return a
}

func TestErrors(t *testing.T) {
	nobody := filepath.Join(t.TempDir(), "s")
	socket, _ := daemon(t, 0, func(model.AttachRequest) string { return "no rules" })
	first := args(nobody)
	first.StdinData = []byte(`{"cniVersion":"1.1.0","name":"n","type":"kube-router-cni"}`)
	for _, c := range []struct {
		name string
		err  error
		code uint
		text string
	}{
		{"nobody listens", add(in(args(nobody), namespace(t))), types.ErrTryAgainLater, "the network policy of pod a/web is not in the kernel yet"},
		{"no namespace", add(args(socket)), types.ErrIOFailure, "network namespace /run/netns/p"},
		{"the daemon says no", add(in(args(socket), namespace(t))), types.ErrTryAgainLater, "no rules"},
		{"check", check(args(socket)), types.ErrTryAgainLater, "is not in force"},
		{"not ready", status(args(socket)), types.ErrPluginNotAvailable, "no rules"},
		{"gc", gc(args(socket)), types.ErrTryAgainLater, "nothing was collected"},
		{"first in the chain", add(first), types.ErrInvalidNetworkConfig, "before it in the chain"},
		{"not JSON", add(&skel.CmdArgs{StdinData: []byte("{")}), types.ErrDecodingFailure, "configuration"},
	} {
		var e *types.Error
		if !errors.As(c.err, &e) || e.Code != c.code || !strings.Contains(e.Error(), c.text) {
			t.Errorf("%s: %v, want code %d and %q", c.name, c.err, c.code, c.text)
		}
	}
	if err := del(args(nobody)); err != nil {
		t.Errorf("DEL needs the daemon: %v", err)
	}
}

func TestGCAndOthers(t *testing.T) {
	socket, asked := daemon(t, 0, well)
	g := args(socket)
	g.StdinData = []byte(`{"cniVersion":"1.1.0","name":"n","socket":"` + socket + `","cni.dev/valid-attachments":[{"containerID":"c1","ifname":"eth0"}]}`)
	if err := gc(g); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]model.Name{{Namespace: "c1", Name: "eth0"}}, (*asked)[0].Valid); d != "" {
		t.Error(d)
	}
	other := args(socket)
	other.Args = "IgnoreUnknown=1"
	if err := add(other); err != nil || len(*asked) != 1 {
		t.Errorf("a container that is no pod: %v, asked %d times", err, len(*asked))
	}
	if err := status(args(socket)); err != nil {
		t.Error(err)
	}
}
