//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kube-router/internal/lab"
)

// router is somebody else's BGP speaker on a host of the lab.
type router struct {
	*lab.Host
	w   *world
	cli func(command string) (string, error)
}

// ask runs a command of the router's own command line.
func (r *router) ask(command string) string {
	r.w.t.Helper()
	out, err := r.cli(command)
	if err != nil {
		r.w.t.Fatalf("%s: %s: %v\n%s", r.Name, command, err, out)
	}
	return out
}

// says waits until the answer to a command has all words.
func (r *router) says(limit time.Duration, command string, words ...string) {
	r.w.t.Helper()
	r.w.until(fmt.Sprintf("%s: %s: %q", r.Name, command, words), limit, func() error { return contains(r.ask(command), words...) })
}

// silent waits until the answer has none of the words.
func (r *router) silent(limit time.Duration, command string, words ...string) {
	r.w.t.Helper()
	r.w.until(fmt.Sprintf("%s: %s: no %q", r.Name, command, words), limit, func() error { return lacks(r.ask(command), words...) })
}

// run starts a program on the host that ends with the lab.
func (r *router) run(name string, args ...string) {
	r.w.t.Helper()
	cmd := r.Command(context.Background(), name, args...)
	log := filepath.Join(r.w.Dir(), r.Name+"-"+filepath.Base(name)+".log")
	f, err := os.Create(log)
	if err != nil {
		r.w.t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		r.w.t.Fatal(err)
	}
	go cmd.Wait()
	r.w.t.Cleanup(func() {
		if text, _ := os.ReadFile(log); r.w.t.Failed() && len(text) > 0 {
			r.w.t.Logf("%s of %s says:\n%s", name, r.Name, text)
		}
	})
}

// outside is where a file of the host's /run is for us.
func (r *router) outside(path string) string {
	return filepath.Join(r.w.Dir(), r.Name, path)
}

// write puts a file below the host's /run.
func (r *router) write(path, text string) string {
	r.w.t.Helper()
	if err := os.WriteFile(r.outside(path), []byte(text), 0o644); err != nil {
		r.w.t.Fatal(err)
	}
	return path
}

const birdBase = `log stderr all;
protocol device { scan time 1; }
protocol kernel { merge paths on; ipv4 { export where source = RTS_BGP; }; }
protocol kernel { merge paths on; ipv6 { export where source = RTS_BGP; }; }
`

// bird starts BIRD 2 with a configuration. What it learns goes to its kernel, equal routes together.
func (w *world) bird(host, config string) *router {
	w.t.Helper()
	r := &router{Host: w.Host(host), w: w}
	r.write("/run/bird.conf", birdBase+config)
	r.cli = func(command string) (string, error) {
		return r.Run(w.ctx, "/usr/sbin/birdc", append([]string{"-s", birdSocket}, strings.Fields(command)...)...)
	}
	r.start()
	return r
}

const birdSocket = "/run/bird.ctl"

// start starts a BIRD that has its configuration.
func (r *router) start(more ...string) {
	r.w.t.Helper()
	r.run("/usr/sbin/bird", append([]string{"-f", "-c", "/run/bird.conf", "-s", birdSocket, "-P", "/run/bird.pid"}, more...)...)
	r.w.until(r.Name+": BIRD answers", 10*time.Second, func() error { _, err := r.cli("show status"); return err })
}

// reconfigure gives BIRD another configuration.
func (r *router) reconfigure(config string) {
	r.w.t.Helper()
	r.write("/run/bird.conf", birdBase+config)
	r.ask("configure")
}

// frr starts FRR's zebra, bgpd and bfdd with a configuration.
func (w *world) frr(host, config string) *router {
	w.t.Helper()
	r := &router{Host: w.Host(host), w: w}
	if err := os.MkdirAll(r.outside(frrDir), 0o755); err != nil {
		w.t.Fatal(err)
	}
	r.write("/run/frr/bgpd.conf", config)
	for _, name := range []string{"zebra", "bfdd"} {
		r.write("/run/frr/"+name+".conf", "log stdout warnings\n")
	}
	// FRR gives up root, and leaves crash buffers in /var/tmp.
	for _, command := range [][]string{{"chown", "-R", "frr:frr", frrDir}, {"mount", "-t", "tmpfs", "tmpfs", "/var/tmp"}} {
		if out, err := r.Run(w.ctx, command[0], command[1:]...); err != nil {
			w.t.Fatalf("%v: %v: %s", command, err, out)
		}
	}
	for _, name := range []string{"zebra", "bfdd", "bgpd"} {
		r.startFRR(name)
	}
	r.cli = func(command string) (string, error) {
		return r.Run(w.ctx, "/usr/bin/vtysh", "--vty_socket", frrDir, "-c", command)
	}
	return r
}

const frrDir = "/run/frr"

// startFRR starts one of FRR's daemons.
func (r *router) startFRR(name string) {
	r.w.t.Helper()
	args := []string{"-f", filepath.Join(frrDir, name+".conf"), "-i", filepath.Join(frrDir, name+".pid"), "--vty_socket", frrDir,
		"-z", filepath.Join(frrDir, "zserv.api"), "--log", "stdout", "-P", "0"}
	if name == "bfdd" {
		args = append(args, "--bfdctl", filepath.Join(frrDir, "bfdd.sock"))
	}
	r.run("/usr/lib/frr/"+name, args...)
	r.w.until(r.Name+": "+name+" answers", 10*time.Second, func() error {
		_, err := os.Stat(r.outside(filepath.Join(frrDir, name+".vty")))
		return err
	})
}

// patch changes a Node.
func (w *world) patch(node string, patch map[string]any) {
	w.t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	if err := w.Client.Merge(w.ctx, n, "", patch); err != nil {
		w.t.Fatal(err)
	}
}
