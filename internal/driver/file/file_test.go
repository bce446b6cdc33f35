package file

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/row"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d *Driver) row() row.Conflist {
	return row.Conflist{
		Path: d.path, MTU: 1480, Socket: "/run/cni.sock",
		Ranges: [2]netip.Prefix{netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd01::/64")},
	}
}

func apply(t *testing.T, d *Driver, old, want *row.Conflist) error {
	t.Helper()
	return d.Apply(t.Context(), []row.Change[string, row.Conflist]{{Key: d.path, Old: old, New: want}})
}

func has(t *testing.T, d *Driver, want ...row.Conflist) {
	t.Helper()
	have, err := d.Dump(t.Context())
	must(t, err)
	wants := map[string]row.Conflist{}
	for _, c := range want {
		wants[c.Path] = c
	}
	if diff := cmp.Diff(wants, have, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("want - have +:\n%s", diff)
	}
}

func read1(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func names(t *testing.T, d *Driver) string {
	t.Helper()
	list, err := os.ReadDir(filepath.Dir(d.path))
	must(t, err)
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

const whole = `{
  "cniVersion": "1.0.0",
  "kube-router": {
    "about": "kube-router keeps the pod ranges, the MTU and its own plugin in this file; the rest is yours",
    "ranges": [
      "10.244.1.0/24",
      "fd01::/64"
    ],
    "mtu": 1480,
    "socket": "/run/cni.sock"
  },
  "name": "mynet",
  "plugins": [
    {
      "bridge": "kube-bridge",
      "forceAddress": true,
      "hairpinMode": true,
      "ipam": {
        "ranges": [
          [
            {
              "subnet": "10.244.1.0/24"
            }
          ],
          [
            {
              "subnet": "fd01::/64"
            }
          ]
        ],
        "type": "host-local"
      },
      "isDefaultGateway": true,
      "mtu": 1480,
      "type": "bridge"
    },
    {
      "capabilities": {
        "portMappings": true
      },
      "snat": true,
      "type": "portmap"
    },
    {
      "capabilities": {
        "bandwidth": true
      },
      "type": "bandwidth"
    },
    {
      "socket": "/run/cni.sock",
      "type": "kube-router-cni"
    }
  ]
}
`

func TestAFileOfOurOwn(t *testing.T) {
	d := NewFake(t.TempDir())
	want := d.row()
	has(t, d)
	must(t, apply(t, d, nil, &want))
	if diff := cmp.Diff(whole, read1(t, d.path)); diff != "" {
		t.Errorf("want - have +:\n%s", diff)
	}
	has(t, d, want)
	moved := want
	moved.Ranges[0], moved.Socket, moved.MTU = netip.MustParsePrefix("10.244.9.0/24"), "", 1400
	must(t, apply(t, d, &want, &moved))
	has(t, d, moved)
	if text := read1(t, d.path); strings.Contains(text, "10.244.1.0") || strings.Contains(text, waitPlugin) {
		t.Errorf("something old stays:\n%s", text)
	}
	must(t, apply(t, d, &moved, nil))
	has(t, d)
	if n := names(t, d); n != "" {
		t.Errorf("left behind: %s", n)
	}
}

const theirs = `{"cniVersion":"0.3.1","name":"theirs","x":12345678901234567890,"plugins":[
 {"type":"bridge","bridge":"kube-bridge","isDefaultGateway":true,"mtu":9000,
  "ipam":{"type":"host-local","dataDir":"/d","ranges":[[{"subnet":"10.244.1.0/24","rangeStart":"10.244.1.10"}],[{"subnet":"10.99.0.0/24"}]]}},
 {"type":"tuning","sysctl":{"a":"b"}}]}`

func TestTheUsersPartStays(t *testing.T) {
	d := NewFake(t.TempDir())
	must(t, os.WriteFile(d.path, []byte(theirs), 0o600))
	want := d.row()
	has(t, d)
	must(t, apply(t, d, nil, &want))
	has(t, d, want)
	text := read1(t, d.path)
	for _, s := range []string{`"rangeStart": "10.244.1.10"`, `"dataDir": "/d"`, `"tuning"`, `"name": "theirs"`, "12345678901234567890", `"mtu": 1480`, "fd01::/64"} {
		if !strings.Contains(text, s) {
			t.Errorf("%s is missing in\n%s", s, text)
		}
	}
	if strings.Contains(text, "10.99.0.0") || strings.Contains(text, "portmap") {
		t.Errorf("too much in\n%s", text)
	}
	must(t, apply(t, d, &want, nil))
	if text := read1(t, d.path); text != theirs {
		t.Errorf("cleanup doesn't bring the file back but\n%s", text)
	}
	if n := names(t, d); n != filepath.Base(d.path) {
		t.Errorf("left behind: %s", n)
	}
}

func TestAUsersPluginAddedLaterStaysAndOursComesLast(t *testing.T) {
	d := NewFake(t.TempDir())
	want := d.row()
	must(t, apply(t, d, nil, &want))
	text := strings.Replace(read1(t, d.path), "      \"type\": \"kube-router-cni\"\n    }\n", "      \"type\": \"kube-router-cni\"\n    },\n    {\"type\": \"sbr\"}\n", 1)
	must(t, os.WriteFile(d.path, []byte(text), 0o644))
	has(t, d, row.Conflist{Path: d.path})
	must(t, apply(t, d, &row.Conflist{Path: d.path}, &want))
	has(t, d, want)
	text = read1(t, d.path)
	if i := strings.Index(text, `"sbr"`); i < 0 || i > strings.Index(text, `"`+waitPlugin+`"`) {
		t.Errorf("their plugin is not before ours:\n%s", text)
	}
}

func TestASinglePluginFile(t *testing.T) {
	d := New(filepath.Join(t.TempDir(), "10-kuberouter.conf"))
	must(t, os.WriteFile(d.path, []byte(`{"name":"n","type":"bridge","ipam":{"type":"host-local","subnet":"10.244.1.0/24","gateway":"10.244.1.9"}}`), 0o644))
	want := d.row()
	want.Socket = ""
	must(t, apply(t, d, nil, &want))
	has(t, d, want)
	text := read1(t, d.path)
	if !strings.Contains(text, `"gateway": "10.244.1.9"`) || strings.Contains(text, "plugins") {
		t.Errorf("have\n%s", text)
	}
}

func TestWhatCannotBeMergedIsLeftAlone(t *testing.T) {
	for _, text := range []string{"{", `[]`, whole + "x", `{"plugins":[{"type":"macvlan","ipam":{"type":"dhcp"}}]}`, `{"plugins":[7,null]}`} {
		d := NewFake(t.TempDir())
		must(t, os.WriteFile(d.path, []byte(text), 0o644))
		want := d.row()
		if err := apply(t, d, nil, &want); err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("%s: have %v", text, err)
		}
		if have := read1(t, d.path); have != text {
			t.Errorf("%s became %s", text, have)
		}
	}
}

func TestAMissingDirectoryIsNamed(t *testing.T) {
	d := New(filepath.Join(t.TempDir(), "net.d", "10-kuberouter.conflist"))
	want := d.row()
	if err := apply(t, d, nil, &want); err == nil || !strings.Contains(err.Error(), "the CNI directory") {
		t.Errorf("have %v", err)
	}
}

func TestWatch(t *testing.T) {
	d := New(filepath.Join(t.TempDir(), "etc", "net.d", "10-kuberouter.conflist"))
	ctx, stop := context.WithCancel(t.Context())
	calls, ended := make(chan struct{}, 1000), make(chan error, 1)
	go func() { ended <- d.Watch(ctx, func() { calls <- struct{}{} }) }()
	want := d.row()
	steps := []func() error{
		func() error { return nil },
		func() error { return os.MkdirAll(filepath.Dir(d.path), 0o755) },
		func() error { return apply(t, d, nil, &want) },
		func() error { return os.Remove(d.path) },
		func() error { return os.RemoveAll(filepath.Dir(filepath.Dir(d.path))) },
	}
	for i, step := range steps {
		for quiet := false; !quiet && i > 0; {
			select {
			case <-calls:
			case <-time.After(50 * time.Millisecond):
				quiet = true
			}
		}
		must(t, step())
		select {
		case <-calls:
		case <-time.After(5 * time.Second):
			t.Fatalf("step %d: no call", i)
		}
	}
	stop()
	must(t, <-ended)
}

func FuzzMerge(f *testing.F) {
	for _, s := range []string{whole, theirs, "", "{", `{"plugins":[{"ipam":{"type":"host-local","ranges":[[1],2]}}]}`,
		`{"kube-router":{"mtu":[]},"plugins":[{"mtu":[],"ipam":{"type":"host-local"}}]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := (&Driver{path: "/x.conflist"}).row()
		d := &Driver{path: c.Path}
		once, err := d.merge(c, []byte(text))
		if err != nil {
			return
		}
		if have, ours := d.read(once); !ours || have != c {
			t.Errorf("%q became %q, which reads as %v", text, once, have)
		}
	})
}
