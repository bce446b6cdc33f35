//go:build !guest

package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manifestRights runs a command with the capabilities of our manifests, and that for chroot.
var manifestRights = []string{"setpriv", "--no-new-privs", "--bounding-set=-all,+net_admin,+net_raw,+net_bind_service,+dac_override,+sys_chroot"}

// TestAloneInItsImage runs the daemon as a pod runs it: in a file system with nothing but the program and what the manifest mounts,
// read-only, /proc/sys too; as root with the manifest's four capabilities (and that for chroot itself).
func TestAloneInItsImage(t *testing.T) {
	n := newNode(t, "--run-firewall=true", "--overlay-encap", "vxlan")
	n.apply(web)
	root := n.path("root")
	for _, dir := range []string{"proc", "dev", "host/proc/sys", "run/kube-router", "etc/cni/net.d", "tmp"} {
		n.check(os.MkdirAll(root+"/"+dir, 0o755))
	}
	n.check(exec.Command("cp", bin, root+"/kube-router").Run())
	n.check(exec.Command("cp", n.path("kubeconfig"), root+"/etc/kubeconfig").Run())
	script := `
mount --make-rprivate /
mount --bind ` + root + ` ` + root + `
mount -t proc proc ` + root + `/proc
mount --bind /dev ` + root + `/dev
mount --bind /proc/sys ` + root + `/host/proc/sys
mount --bind ` + root + `/proc/sys ` + root + `/proc/sys
mount -o remount,bind,ro ` + root + `/proc/sys
mount -t tmpfs tmpfs ` + root + `/run/kube-router
mount -t tmpfs tmpfs ` + root + `/etc/cni/net.d
mount -o remount,bind,ro ` + root + `
exec ` + strings.Join(manifestRights, " ") + ` chroot ` + root + ` /kube-router "$@"`
	in := func(args ...string) []string {
		return append([]string{"-m", "bash", "-euc", script, "kube-router"}, args...)
	}
	cmd := n.space.Command(context.Background(), "unshare", in(append([]string{"--kubeconfig", "/etc/kubeconfig", "--service-proxy-engine", "nftables"}, n.args...)...)...)
	cmd.Env = []string{"NODE_NAME=n1", "KUBE_ROUTER_PROC_SYS=/host/proc/sys", "PATH=" + os.Getenv("PATH")}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	n.log, n.daemon = &log, cmd
	n.check(cmd.Start())
	t.Cleanup(n.stop)
	n.eventually("ready", func() error {
		if text, _ := n.try("curl", "-s", "http://127.0.0.1:20244/readyz"); !strings.HasPrefix(text, "OK") {
			return errors.New("not ready: " + text)
		}
		return nil
	})
	time.Sleep(time.Second)
	if strings.Contains(log.String(), "fails") {
		t.Errorf("something needs more than the manifest gives:\n%s", log.String())
	}
	// What `kubectl exec … kube-router doctor` says, with the same rights.
	inside := slices.Concat([]string{"-t", strconv.Itoa(cmd.Process.Pid), "-m"}, manifestRights, []string{"chroot", root, "/kube-router", "doctor", "-o", "json"})
	doctor := n.space.Command(t.Context(), "nsenter", inside...)
	doctor.Env = cmd.Env
	text, _ := doctor.Output()
	var list []finding
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for check, verdict := range map[string]string{"daemon": "ok", "settings": "ok", "kernel": "ok", "API server": "ok", "node": "ok"} {
		if f := find(list, check); f.Verdict != verdict {
			t.Errorf("%s: %+v, want %s", check, f, verdict)
		}
	}
	if text := n.sh("nft list table inet kube-router; ip link; sysctl net.ipv4.ip_forward"); !strings.Contains(text, "services-prerouting") || !strings.Contains(text, "kube-bridge") || !strings.Contains(text, "forward = 1") {
		t.Error(text)
	}
}

// TestUpdateUnderLoad: one life of the daemon after the other, and no connection fails.
func TestUpdateUnderLoad(t *testing.T) {
	n := serving(t)
	n.start()
	stop := n.load(200)
	for range 3 {
		time.Sleep(500 * time.Millisecond)
		n.stop()
		time.Sleep(500 * time.Millisecond)
		n.start()
	}
	time.Sleep(500 * time.Millisecond)
	tally := stop()
	t.Logf("while the daemon was replaced three times: %s", tally)
	if !tally.OK() || tally.Total < 200 {
		t.Errorf("connections failed: %s", tally)
	}
}
